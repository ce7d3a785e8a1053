#pragma once

// Features of candidates from what is known before they are labelled: what kind of example each is,
// never which one. They are standardised within the set, so that a policy learned on one set reads
// another. Adding a kind is a function and a line in the table of candidate_features.cpp.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/policy/candidate_set.hpp"

namespace thresher {

/// What is known of candidates; spans that do not exist are empty.
struct CandidateInputs {
    std::int64_t rows = 0;              ///< N
    std::span<const float> embeddings;  ///< [N, d]
    std::int64_t embedding_size = 0;    ///< d
    std::span<const float> log_probs;   ///< [N, S, C], natural logarithm
    std::int64_t samples = 1, classes = 0;
    std::span<const float> labelled_embeddings;  ///< [m, d]
};

struct FeatureKind {
    std::string_view name, description;
    std::int64_t (*width)(const CandidateInputs& inputs);
    /// Writes features [N, width] with a stride from one candidate to the next.
    void (*fill)(const CandidateInputs& inputs, float* features, std::int64_t stride);
    std::string_view need;  ///< in the words of Acquisition::needs
};

std::span<const FeatureKind> feature_kinds();

/// Throws UsageError, listing the known ones.
const FeatureKind& find_feature_kind(std::string_view name);

/// All kinds but "embedding", which other pools may not share.
std::vector<std::string> default_feature_kinds();

/// Features of these kinds, standardised over the candidates (0 where all are the same), with
/// distances between embeddings. Throws UsageError where a kind is unknown, comes twice or lacks
/// what it needs, Error where there is no candidate or a number is not finite. Local.
CandidateSet make_candidates(const CandidateInputs& inputs, std::span<const std::string> kinds);

/// Sum of the widths of kinds.
std::int64_t feature_width(const CandidateInputs& inputs, std::span<const std::string> kinds);

}  // namespace thresher
