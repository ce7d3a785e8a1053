#include "src/policy/candidate_features.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/acquisition/joint/mean_prediction.hpp"
#include "src/acquisition/nearest.hpp"
#include "src/base/check.hpp"
#include "src/policy/entropy.hpp"
#include "src/random/permutation.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kProjected = 32;  // coordinates of an embedding that are read at most
constexpr std::int64_t kTopProbabilities = 4;
constexpr std::int64_t kCrowd = 1024;  // candidates among which neighbours are looked for
constexpr std::size_t kNeighbours = 10;

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

std::int64_t one(const CandidateInputs&) { return 1; }

std::int64_t embedding_width(const CandidateInputs& inputs) {
    return std::min(kProjected, inputs.embedding_size);
}

/// As they are, or their projections to directions that depend on their size alone.
void fill_embedding(const CandidateInputs& inputs, float* features, std::int64_t stride) {
    const std::int64_t d = inputs.embedding_size, width = embedding_width(inputs);
    std::vector<double> directions;
    if (d > width) {
        const KeyedRandom random(0, Stream::policy_projection, 0);
        for (std::int64_t i = 0; i < width * d; ++i) directions.push_back(random.normal(i));
    }
    for (std::int64_t row = 0; row < inputs.rows; ++row) {
        const auto embedding = inputs.embeddings.subspan(at(row * d), at(d));
        for (std::int64_t j = 0; j < width; ++j) {
            double value = double{embedding[at(j)]};
            if (d > width) {
                value = std::inner_product(embedding.begin(), embedding.end(),
                                           directions.begin() + j * d, 0.0);
            }
            features[row * stride + j] = static_cast<float>(value);
        }
    }
}

/// Calls body(row, probabilities in descending order).
template <class Body>
void for_each_prediction(const CandidateInputs& inputs, const Body& body) {
    const std::int64_t width = inputs.samples * inputs.classes;
    std::vector<double> mean(at(inputs.classes));
    for (std::int64_t row = 0; row < inputs.rows; ++row) {
        mean_prediction(inputs.log_probs.subspan(at(row * width), at(width)), mean);
        std::sort(mean.begin(), mean.end(), std::greater<>());
        body(row, std::span<const double>(mean));
    }
}

std::int64_t probabilities_width(const CandidateInputs&) { return kTopProbabilities; }

void fill_probabilities(const CandidateInputs& inputs, float* features, std::int64_t stride) {
    for_each_prediction(inputs, [&](std::int64_t row, std::span<const double> p) {
        for (std::int64_t j = 0; j < kTopProbabilities; ++j) {
            const bool there = j < inputs.classes;
            features[row * stride + j] = there ? static_cast<float>(p[at(j)]) : 0.0F;
        }
    });
}

void fill_entropy(const CandidateInputs& inputs, float* features, std::int64_t stride) {
    for_each_prediction(inputs, [&](std::int64_t row, std::span<const double> p) {
        features[row * stride] = static_cast<float>(entropy_of(p));
    });
}

void fill_margin(const CandidateInputs& inputs, float* features, std::int64_t stride) {
    for_each_prediction(inputs, [&](std::int64_t row, std::span<const double> p) {
        features[row * stride] = static_cast<float>(p.size() > 1 ? p[0] - p[1] : 1.0);
    });
}

void fill_distance_to_labelled(const CandidateInputs& inputs, float* features,
                               std::int64_t stride) {
    std::vector<double> distances(at(inputs.rows));
    mean_nearest_distances(inputs.embeddings, {}, inputs.labelled_embeddings, {},
                           inputs.embedding_size, 1, distances);
    for (std::int64_t row = 0; row < inputs.rows; ++row) {
        features[row * stride] = static_cast<float>(distances[at(row)]);
    }
}

/// Mean distance to the nearest of up to kCrowd candidates: how alone a candidate is.
void fill_isolation(const CandidateInputs& inputs, float* features, std::int64_t stride) {
    const std::int64_t d = inputs.embedding_size;
    std::vector<std::int64_t> ids(at(inputs.rows)), others;
    std::iota(ids.begin(), ids.end(), 0);
    const KeyedPermutation order(inputs.rows, 0, Stream::policy_projection, 1);
    std::vector<float> crowd;
    for (std::int64_t i = 0; i < std::min(kCrowd, inputs.rows); ++i) {
        const std::int64_t row = order(i);
        const auto embedding = inputs.embeddings.subspan(at(row * d), at(d));
        others.push_back(row);
        crowd.insert(crowd.end(), embedding.begin(), embedding.end());
    }
    std::vector<double> distances(at(inputs.rows));
    mean_nearest_distances(inputs.embeddings, ids, crowd, others, d, kNeighbours, distances);
    for (std::int64_t row = 0; row < inputs.rows; ++row) {
        const bool alone = std::isnan(distances[at(row)]);  // the only candidate
        features[row * stride] = alone ? 0.0F : static_cast<float>(distances[at(row)]);
    }
}

constexpr FeatureKind kKinds[]{
    {"probabilities", "the largest class probabilities, in descending order", probabilities_width,
     fill_probabilities, "log_probs"},
    {"entropy", "of the mean prediction", one, fill_entropy, "log_probs"},
    {"margin", "largest less second largest probability", one, fill_margin, "log_probs"},
    {"distance-to-labelled", "to the nearest labelled embedding", one, fill_distance_to_labelled,
     "labelled"},
    {"isolation", "mean distance to the nearest candidates", one, fill_isolation, "embeddings"},
    {"embedding", "the embedding, or a random projection of it; for pools that share a model",
     embedding_width, fill_embedding, "embeddings"}};

bool offers(const CandidateInputs& inputs, std::string_view need) {
    if (need == "log_probs") return !inputs.log_probs.empty();
    if (need == "embeddings") return !inputs.embeddings.empty();
    return !inputs.embeddings.empty() && !inputs.labelled_embeddings.empty();
}

void standardise(CandidateSet& candidates, std::int64_t column) {
    const auto value = [&](std::int64_t row) -> float& {
        return candidates.features[at(row * candidates.width + column)];
    };
    const auto n = static_cast<double>(candidates.rows);
    double sum = 0.0, squares = 0.0;
    for (std::int64_t row = 0; row < candidates.rows; ++row) sum += double{value(row)};
    const double mean = sum / n;
    for (std::int64_t row = 0; row < candidates.rows; ++row) {
        squares += (double{value(row)} - mean) * (double{value(row)} - mean);
    }
    const double deviation = std::sqrt(squares / n);
    const bool same = deviation <= 1e-6 * std::abs(mean) || deviation == 0.0;
    for (std::int64_t row = 0; row < candidates.rows; ++row) {
        value(row) = same ? 0.0F : static_cast<float>((double{value(row)} - mean) / deviation);
    }
}

}  // namespace

std::span<const FeatureKind> feature_kinds() { return kKinds; }

const FeatureKind& find_feature_kind(std::string_view name) {
    std::vector<std::string_view> known;
    for (const FeatureKind& kind : kKinds) {
        if (kind.name == name) return kind;
        known.push_back(kind.name);
    }
    fail<UsageError>("unknown kind of feature \"{}\"; known: {}", name, fmt::join(known, ", "));
}

std::vector<std::string> default_feature_kinds() {
    std::vector<std::string> names;
    for (const FeatureKind& kind : kKinds) {
        if (kind.name != "embedding") names.emplace_back(kind.name);
    }
    return names;
}

std::int64_t feature_width(const CandidateInputs& inputs, std::span<const std::string> kinds) {
    std::int64_t width = 0;
    for (const std::string& name : kinds) width += find_feature_kind(name).width(inputs);
    return width;
}

CandidateSet make_candidates(const CandidateInputs& inputs, std::span<const std::string> kinds) {
    THRESHER_CHECK(inputs.rows >= 1, "there is no candidate to pick from");
    THRESHER_CHECK_AS(UsageError, !kinds.empty(),
                      "a policy needs features to read, but none were "
                      "named");
    THRESHER_CHECK_AS(UsageError, !inputs.embeddings.empty(),
                      "a policy needs embeddings, by which it tells how far candidates are from "
                      "what is picked; add strategy embedding to thresher predict");
    CandidateSet candidates;
    candidates.rows = inputs.rows;
    candidates.width = feature_width(inputs, kinds);
    candidates.features.resize(at(candidates.rows * candidates.width));
    std::int64_t column = 0;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        const FeatureKind& kind = find_feature_kind(kinds[i]);
        const auto before = kinds.first(i);
        THRESHER_CHECK_AS(UsageError,
                          std::find(before.begin(), before.end(), kinds[i]) == before.end(),
                          "the feature {} was named twice", kind.name);
        THRESHER_CHECK_AS(UsageError, offers(inputs, kind.need),
                          "the policy reads the feature {}, which needs {}, but there is none; "
                          "give it, or train a policy without this feature",
                          kind.name,
                          kind.need == "labelled" ? std::string_view("labelled rows") : kind.need);
        kind.fill(inputs, candidates.features.data() + column, candidates.width);
        const std::int64_t end = column + kind.width(inputs);
        for (; column < end; ++column) {
            for (std::int64_t row = 0; row < candidates.rows; ++row) {
                THRESHER_CHECK(
                    std::isfinite(candidates.features[at(row * candidates.width + column)]),
                    "the feature {} of candidate {} is not finite; look at its predictions",
                    kind.name, row);
            }
            standardise(candidates, column);
        }
    }
    candidates.dimensions = inputs.embedding_size;
    candidates.places.assign(inputs.embeddings.begin(), inputs.embeddings.end());
    measure_distances(candidates);
    if (!inputs.log_probs.empty()) {
        candidates.difficulty.resize(at(candidates.rows));
        fill_entropy(inputs, candidates.difficulty.data(), 1);
    }
    return candidates;
}

}  // namespace thresher
