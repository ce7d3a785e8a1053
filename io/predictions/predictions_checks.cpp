#include <cmath>
#include <limits>

#include "io/predictions/predictions_layout.hpp"
#include "src/acquisition/outputs.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

std::string output_dataset(OutputKind kind) {
    switch (kind) {
        case OutputKind::log_probs:
            return "/log_probs";
        case OutputKind::logits:
            return "/logits";
        case OutputKind::probabilities:
            return "/probabilities";
        case OutputKind::none:
            break;
    }
    fail("predictions without class outputs have no dataset for them");
}

std::string what_is_wrong(OutputKind kind, std::span<const float> row, std::int64_t classes) {
    const auto width = static_cast<std::size_t>(classes);
    for (std::size_t begin = 0; begin < row.size(); begin += width) {
        double sum = 0.0;
        float largest = -std::numeric_limits<float>::infinity();
        for (float value : row.subspan(begin, width)) {
            if (std::isnan(value)) return "the outputs hold a NaN";
            if (kind == OutputKind::probabilities && value < 0.0F) {
                return fmt::format("probability {} is negative", value);
            }
            largest = std::max(largest, value);
            sum += static_cast<double>(value);
        }
        if (std::isinf(largest)) return "the outputs hold an infinity, or are all -inf";
        if (kind == OutputKind::probabilities && std::abs(sum - 1.0) > kSumTolerance) {
            return fmt::format("probabilities sum to {:.6g}, not to 1", sum);
        }
        if (kind == OutputKind::log_probs && static_cast<double>(largest) > kSumTolerance) {
            return fmt::format("log-probability {} is above 0", largest);
        }
    }
    return {};
}

std::string what_is_wrong(const FoundBoxes& row) {
    const auto most = static_cast<std::size_t>(row.shape.most);
    const auto classes = static_cast<std::size_t>(row.shape.classes);
    std::size_t count = 0;
    while (count < most && !std::isnan(row.scores[count])) ++count;
    const auto is_share = [](float value) { return value >= 0.0F && value <= 1.0F; };
    for (std::size_t box = 0; box < most; ++box) {
        if (box >= count) {
            if (!std::isnan(row.scores[box]))
                return fmt::format("box {} follows one that is not there", box);
            continue;
        }
        if (!is_share(row.scores[box]))
            return fmt::format("the score of box {} is {}, not 0 to 1", box, row.scores[box]);
        if (!row.flips.empty() && !is_share(row.flips[box]))
            return fmt::format("the flip of box {} is {}, not 0 to 1", box, row.flips[box]);
        if (!row.discrepancies.empty() && !is_share(row.discrepancies[box]))
            return fmt::format("the discrepancy of box {} is {}, not 0 to 1", box,
                               row.discrepancies[box]);
    }
    return what_is_wrong(OutputKind::log_probs, row.log_probs.first(count * classes),
                         row.shape.classes);
}

}  // namespace thresher::io
