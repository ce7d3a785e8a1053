#include "src/strategy/box_outputs.hpp"

#include <algorithm>
#include <limits>

#include "src/acquisition/outputs.hpp"

namespace thresher {

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

}  // namespace

void store_boxes(const ImageDetections& found, std::span<const float> logits, std::int64_t columns,
                 const BoxOutputs& to) {
    const std::size_t count = std::min(to.scores.size(), found.scores.size());
    const auto width = static_cast<std::size_t>(columns);
    const std::size_t classes = to.log_probs.size() / to.scores.size();
    std::fill(to.log_probs.begin(), to.log_probs.end(), kNan);
    std::fill(to.scores.begin(), to.scores.end(), kNan);
    std::copy_n(found.scores.begin(), count, to.scores.begin());
    const std::span<float> rows = to.log_probs.first(count * classes);
    for (std::size_t box = 0; box < count; ++box) {
        const auto row = rows.subspan(box * classes, classes);
        const auto anchor = static_cast<std::size_t>(found.anchors[box]);
        const auto own = logits.subspan(anchor * width, width);
        row.back() = 0.0F;
        std::copy(own.begin(), own.end(), row.begin());
    }
    const std::vector<float> gathered(rows.begin(), rows.end());
    logits_to_log_probs(gathered, static_cast<std::int64_t>(classes), rows);
}

void store_no_number(const BoxOutputs& to) {
    std::fill(to.log_probs.begin(), to.log_probs.end(), kNan);
    std::fill(to.scores.begin(), to.scores.end(), kNan);
    to.scores.front() = 0.0F;
}

}  // namespace thresher
