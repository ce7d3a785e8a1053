// The acquisitions that compare the embedding of a row with those of other rows.

#include <cmath>
#include <limits>

#include "src/acquisition/nearest.hpp"
#include "src/acquisition/pointwise.hpp"
#include "src/base/check.hpp"

namespace thresher {

namespace {

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
