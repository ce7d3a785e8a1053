// Acquisitions that look at each box of an image by itself: its own score is that of a row of class
// outputs, by the same kernels.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "src/acquisition/aggregation.hpp"
#include "src/acquisition/pointwise.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 1024;  // images a thread takes at a time

void check_shape(const FoundBoxes& found, std::size_t images, const BoxAggregation& how) {
    const auto most = static_cast<std::size_t>(found.shape.most);
    const auto classes = static_cast<std::size_t>(found.shape.classes);
    THRESHER_CHECK(most > 0 && classes > 1 && found.scores.size() == images * most &&
                       found.log_probs.size() == images * most * classes,
                   "{} log-probabilities and {} scores for the boxes of {} images, {} each, of {} "
                   "classes",
                   found.log_probs.size(), found.scores.size(), images, most, classes);
    THRESHER_CHECK(how.class_weights.empty() || how.class_weights.size() == classes - 1,
                   "{} class weights for {} classes", how.class_weights.size(), classes - 1);
    THRESHER_CHECK(how.top > 0, "the mean of the {} best boxes; allowed: 1 and more", how.top);
}

/// The weight of the likeliest class of `log_probs` [K] that is not the background.
double weight_of(std::span<const float> log_probs, std::span<const float> weights) {
    if (weights.empty()) return 1.0;
    const auto end = log_probs.begin() + std::ssize(weights);
    return weights[static_cast<std::size_t>(std::max_element(log_probs.begin(), end) -
                                            log_probs.begin())];
}

/// Scores images by what is said of each of their boxes, `of_boxes` [n, M].
void score_images(const PredictionView& predictions, std::span<const float> of_boxes,
                  std::span<float> scores) {
    const FoundBoxes& found = predictions.found;
    const BoxAggregation& how = predictions.aggregation;
    const auto most = static_cast<std::size_t>(found.shape.most);
    const auto classes = static_cast<std::size_t>(found.shape.classes);
    parallel_for(std::ssize(scores), kGrain, [&](std::int64_t begin, std::int64_t end) {
        std::vector<double> values;
        for (auto image = static_cast<std::size_t>(begin); image < static_cast<std::size_t>(end);
             ++image) {
            values.clear();
            for (std::size_t box = image * most; box < (image + 1) * most; ++box) {
                if (std::isnan(found.scores[box])) break;
                values.push_back(
                    double{of_boxes[box]} *
                    weight_of(found.log_probs.subspan(box * classes, classes), how.class_weights));
            }
            // NaN of one box is that of the image, whatever a maximum would make of it.
            const bool usable = std::all_of(values.begin(), values.end(),
                                            [](double value) { return std::isfinite(value); });
            scores[image] = usable ? static_cast<float>(aggregate(values, how))
                                   : std::numeric_limits<float>::quiet_NaN();
        }
    });
}

/// Boxes as rows of one sample each; those that are not there are NaN, and so are their scores.
void score_classes(const PredictionView& predictions, std::span<float> scores,
                   void (*score)(const PredictionView&, std::span<float>)) {
    check_shape(predictions.found, scores.size(), predictions.aggregation);
    PredictionView boxes;
    boxes.log_probs = predictions.found.log_probs;
    boxes.samples = 1;
    boxes.classes = predictions.found.shape.classes;
    std::vector<float> of_boxes(predictions.found.scores.size());
    score(boxes, of_boxes);
    score_images(predictions, of_boxes, scores);
}

}  // namespace

const std::vector<AggregateInfo>& aggregates() {
    static const std::vector<AggregateInfo> table{{"max", Aggregate::max},
                                                  {"mean", Aggregate::mean},
                                                  {"sum", Aggregate::sum},
                                                  {"top-n", Aggregate::top_n}};
    return table;
}

double aggregate(std::span<double> values, const BoxAggregation& how) {
    if (values.empty()) return 0.0;
    if (how.kind == Aggregate::max) return *std::max_element(values.begin(), values.end());
    if (how.kind == Aggregate::top_n && std::ssize(values) > how.top) {
        std::sort(values.begin(), values.end(), std::greater<>());
        values = values.first(static_cast<std::size_t>(how.top));
    }
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    return how.kind == Aggregate::sum ? sum : sum / static_cast<double>(values.size());
}

void score_box_entropy(const PredictionView& predictions, std::span<float> scores) {
    score_classes(predictions, scores, score_entropy);
}

void score_box_margin(const PredictionView& predictions, std::span<float> scores) {
    score_classes(predictions, scores, score_margin);
}

void score_box_least_confidence(const PredictionView& predictions, std::span<float> scores) {
    score_classes(predictions, scores, score_least_confidence);
}

void score_box_flip(const PredictionView& predictions, std::span<float> scores) {
    const FoundBoxes& found = predictions.found;
    check_shape(found, scores.size(), predictions.aggregation);
    THRESHER_CHECK(found.flips.size() == found.scores.size(),
                   "{} boxes were compared with mirrored ones, of {}", found.flips.size(),
                   found.scores.size());
    score_images(predictions, found.flips, scores);
}

void score_box_discrepancy(const PredictionView& predictions, std::span<float> scores) {
    const FoundBoxes& found = predictions.found;
    check_shape(found, scores.size(), predictions.aggregation);
    THRESHER_CHECK(found.discrepancies.size() == found.scores.size(),
                   "two class heads looked at {} boxes, of {}", found.discrepancies.size(),
                   found.scores.size());
    score_images(predictions, found.discrepancies, scores);
}

}  // namespace thresher
