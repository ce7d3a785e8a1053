#include "src/strategy/box_outputs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "src/acquisition/outputs.hpp"

namespace thresher {

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The distributions [count, K] of the first boxes of `found`.
void store_distributions(const ImageDetections& found, std::span<const float> logits,
                         std::int64_t columns, std::int64_t classes, std::span<float> to) {
    const auto width = static_cast<std::size_t>(columns), k = static_cast<std::size_t>(classes);
    std::vector<float> gathered(to.size());
    for (std::size_t box = 0; box < to.size() / k; ++box) {
        const auto row = std::span(gathered).subspan(box * k, k);
        const auto own =
            logits.subspan(static_cast<std::size_t>(found.anchors[box]) * width, width);
        row.back() = 0.0F;
        std::copy(own.begin(), own.end(), row.begin());
    }
    logits_to_log_probs(gathered, classes, to);
}

}  // namespace

void store_boxes(const ImageDetections& found, std::span<const float> logits, std::int64_t columns,
                 const BoxOutputs& to) {
    const std::size_t count = std::min(to.scores.size(), found.scores.size());
    const std::size_t classes = to.log_probs.size() / to.scores.size();
    std::fill(to.log_probs.begin(), to.log_probs.end(), kNan);
    std::fill(to.scores.begin(), to.scores.end(), kNan);
    std::copy_n(found.scores.begin(), count, to.scores.begin());
    store_distributions(found, logits, columns, static_cast<std::int64_t>(classes),
                        to.log_probs.first(count * classes));
}

void store_discrepancies(const ImageDetections& found,
                         const std::array<std::span<const float>, 2>& heads, std::int64_t columns,
                         std::int64_t classes, std::span<float> to) {
    const std::size_t count = std::min(to.size(), found.scores.size());
    const auto k = static_cast<std::size_t>(classes);
    std::vector<float> first(count * k), second(count * k);
    store_distributions(found, heads[0], columns, classes, first);
    store_distributions(found, heads[1], columns, classes, second);
    std::fill(to.begin(), to.end(), kNan);
    for (std::size_t box = 0; box < count; ++box) {
        double sum = 0.0;
        for (std::size_t i = box * k; i < (box + 1) * k; ++i) {
            sum += std::abs(std::exp(double{first[i]}) - std::exp(double{second[i]}));
        }
        to[box] = static_cast<float>(std::min(sum / 2.0, 1.0));
    }
}

void store_no_number(const BoxOutputs& to) {
    std::fill(to.log_probs.begin(), to.log_probs.end(), kNan);
    std::fill(to.scores.begin(), to.scores.end(), kNan);
    std::fill(to.discrepancies.begin(), to.discrepancies.end(), kNan);
    to.scores.front() = 0.0F;
}

}  // namespace thresher
