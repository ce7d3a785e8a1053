// The pointwise acquisitions that read embeddings.

#include <cmath>
#include <limits>

#include "src/acquisition/class_scores.hpp"
#include "src/acquisition/nearest.hpp"
#include "src/acquisition/pointwise.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kGrain = 4096;  // rows a thread takes at a time
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void check_embeddings(const PredictionView& predictions, std::size_t rows) {
    THRESHER_CHECK(predictions.embedding_size > 0 &&
                       predictions.embeddings.size() ==
                           rows * static_cast<std::size_t>(predictions.embedding_size),
                   "{} values of embeddings for {} rows of {}", predictions.embeddings.size(), rows,
                   predictions.embedding_size);
}

/// Others [m, d] for embeddings of the same width.
void check_others(const PredictionView& predictions, std::span<const float> others,
                  std::string_view what) {
    THRESHER_CHECK(!others.empty() &&
                       others.size() % static_cast<std::size_t>(predictions.embedding_size) == 0,
                   "{} values of embeddings of {}, where rows of {} are needed, one or more",
                   others.size(), what, predictions.embedding_size);
}

}  // namespace

void score_gradient_norm(const PredictionView& predictions, std::span<float> scores) {
    check_embeddings(predictions, scores.size());
    const auto size = static_cast<std::size_t>(predictions.embedding_size);
    ClassOutputs outputs{predictions.log_probs.data(),
                         static_cast<std::size_t>(predictions.samples),
                         static_cast<std::size_t>(predictions.classes)};
    THRESHER_CHECK(predictions.samples > 0 && predictions.classes > 0 &&
                       predictions.log_probs.size() == scores.size() * outputs.columns(),
                   "{} log-probabilities for {} rows of {} samples and {} classes",
                   predictions.log_probs.size(), scores.size(), outputs.samples, outputs.classes);
    parallel_for(
        static_cast<std::int64_t>(scores.size()), kGrain,
        [&](std::int64_t begin, std::int64_t end) {
            const auto first = static_cast<std::size_t>(begin);
            const auto part = scores.subspan(first, static_cast<std::size_t>(end - begin));
            ClassOutputs of_part = outputs;
            of_part.log_probs += first * outputs.columns();
            score_distance_to_vote(of_part, part);
            for (std::size_t row = 0; row < part.size(); ++row) {
                double square = 0.0;
                for (const float h : predictions.embeddings.subspan((first + row) * size, size)) {
                    square += double{h} * double{h};
                }
                const double length = double{part[row]} * std::sqrt(square);
                part[row] = std::isfinite(length) ? static_cast<float>(length) : kNan;
            }
        });
}

void score_distance_to_labelled(const PredictionView& predictions, std::span<float> scores) {
    check_embeddings(predictions, scores.size());
    const std::span<const float> labelled = predictions.others.labelled_embeddings;
    check_others(predictions, labelled, "labelled rows");
    std::vector<double> means(scores.size());
    mean_nearest_distances(predictions.embeddings, {}, labelled, {}, predictions.embedding_size, 1,
                           means);
    for (std::size_t row = 0; row < scores.size(); ++row)
        scores[row] = static_cast<float>(means[row]);
}

void score_typicality(const PredictionView& predictions, std::span<float> scores) {
    constexpr std::size_t kNeighbours = 20;
    check_embeddings(predictions, scores.size());
    const std::span<const float> neighbours = predictions.others.neighbour_embeddings;
    check_others(predictions, neighbours, "neighbours");
    const std::span<const std::int64_t> neighbour_ids = predictions.others.neighbour_ids;
    THRESHER_CHECK(
        predictions.ids.size() == scores.size() &&
            neighbour_ids.size() * static_cast<std::size_t>(predictions.embedding_size) ==
                neighbours.size(),
        "{} ids of {} rows and {} of neighbours, {} values", predictions.ids.size(), scores.size(),
        neighbour_ids.size(), neighbours.size());
    std::vector<double> means(scores.size());
    mean_nearest_distances(predictions.embeddings, predictions.ids, neighbours, neighbour_ids,
                           predictions.embedding_size, kNeighbours, means);
    for (std::size_t row = 0; row < scores.size(); ++row) {
        // As many duplicates as neighbours: the most typical there is.
        const double typicality =
            std::min(1.0 / means[row], double{std::numeric_limits<float>::max()});
        scores[row] = static_cast<float>(std::isnan(means[row]) ? means[row] : typicality);
    }
}

}  // namespace thresher
