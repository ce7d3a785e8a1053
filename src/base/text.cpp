#include "src/base/text.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace thresher {

std::string broadcast_text(Collective& collective, std::string text, int root) {
    auto length = static_cast<std::int64_t>(text.size());
    collective.broadcast(std::span(&length, 1), root);
    text.resize(static_cast<std::size_t>(length));
    collective.broadcast(std::span(text.data(), text.size()), root);
    return text;
}

bool is_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const auto byte = [&](std::size_t i) -> std::uint32_t {
            return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0;
        };
        const std::uint32_t first = byte(0);
        const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        if (first == 0 || (first >= 0x80 && first < 0xC2) || first > 0xF4) return false;
        std::uint32_t point = length == 1 ? first : first & (0xFFU >> (length + 1));
        for (std::size_t i = 1; i < length; ++i) {
            if ((byte(i) & 0xC0U) != 0x80) return false;
            point = point << 6 | (byte(i) & 0x3FU);
        }
        const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
        const bool surrogate = point >= 0xD800 && point < 0xE000;
        if (overlong || surrogate || point > 0x10FFFF) return false;
        at += length;
    }
    return true;
}

std::string excerpt(std::string_view text) {
    constexpr int kMostCharacters = 60;
    std::string shown;
    std::size_t at = 0;
    for (int count = 0; at < text.size() && count < kMostCharacters; ++count) {
        const auto first = static_cast<unsigned char>(text[at]);
        const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        const std::string_view character = text.substr(at, length);
        // Terminals obey the controls from U+0080 to U+009F, too.
        const bool is_control =
            first < 0x20 || first == 0x7F || (character >= "\xC2\x80" && character < "\xC2\xA0");
        if (first == '\t') {
            shown += "\\t";
            ++at;
        } else if (is_control || !is_utf8(character)) {
            shown += fmt::format("\\x{:02x}", first);
            ++at;
        } else {
            shown += character;
            at += length;
        }
    }
    return at < text.size() ? shown + "..." : shown;
}

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace thresher
