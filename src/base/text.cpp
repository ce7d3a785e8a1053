#include "src/base/text.hpp"

#include <cstdint>

namespace thresher {

std::string broadcast_text(Collective& collective, std::string text, int root) {
    auto length = static_cast<std::int64_t>(text.size());
    collective.broadcast(std::span(&length, 1), root);
    text.resize(static_cast<std::size_t>(length));
    collective.broadcast(std::span(text.data(), text.size()), root);
    return text;
}

}  // namespace thresher
