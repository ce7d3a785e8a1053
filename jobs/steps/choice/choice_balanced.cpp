// A share of the batch for each class.

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "jobs/steps/choice/choice_parts.hpp"
#include "src/acquisition/joint/mean_prediction.hpp"
#include "src/base/check.hpp"
#include "src/selection/balanced.hpp"

namespace thresher::jobs {

namespace {

/// The class of each row of a view: its target, or the likeliest under the mean prediction; -1
/// where there is none.
void classes_of(const PredictionView& view, bool by_targets, std::span<std::int32_t> classes) {
    const auto width = static_cast<std::size_t>(view.samples * view.classes);
    std::vector<double> mean(static_cast<std::size_t>(view.classes));
    for (std::size_t row = 0; row < classes.size(); ++row) {
        if (by_targets) {
            classes[row] = static_cast<std::int32_t>(view.targets[row]);
            continue;
        }
        mean_prediction(view.log_probs.subspan(row * width, width), mean);
        const auto likeliest = std::max_element(mean.begin(), mean.end());
        classes[row] =
            std::isfinite(*likeliest) ? static_cast<std::int32_t>(likeliest - mean.begin()) : -1;
    }
}

}  // namespace

Choice choose_balanced(Job& job, PredictionStream& stream, const ChoiceOptions& options,
                       const std::string& acquisition, std::int64_t k, std::uint32_t round,
                       std::span<const std::uint8_t> excluded, const Comparisons& comparisons) {
    const bool by_targets = options.balance == "targets";
    const std::vector<std::string> available = stream.available();
    const auto offers = [&](const char* word) {
        return std::find(available.begin(), available.end(), word) != available.end();
    };
    THRESHER_CHECK_AS(UsageError, offers(by_targets ? "targets" : "log_probs"),
                      "--balance {} needs {}, but there are none; the predictions hold {}",
                      options.balance, by_targets ? "a pool with targets" : "class predictions",
                      fmt::join(available, ", "));
    std::vector<std::int32_t> classes(static_cast<std::size_t>(stream.owned_rows().size()));
    const ShardScores shard = score_stream(
        job, stream, {acquisition}, round, comparisons,
        [&](const PredictionView& view, RowRange rows) {
            classes_of(view, by_targets,
                       std::span(classes).subspan(
                           static_cast<std::size_t>(rows.begin - stream.owned_rows().begin),
                           static_cast<std::size_t>(rows.size())));
        });
    std::int64_t count = 0;
    for (const std::int32_t c : classes) count = std::max<std::int64_t>(count, c + 1);
    job.collective().all_reduce_max(std::span(&count, 1));
    return timed_choice(job, shard, [&] {
        return select_balanced(
            job.collective(), {shard.scores.at(acquisition), shard.rows.begin, shard.ids, excluded},
            classes, count, k, options.selector.selector(job.common().seed, round));
    });
}

}  // namespace thresher::jobs
