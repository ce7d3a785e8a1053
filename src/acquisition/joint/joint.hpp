#pragma once

// Acquisitions that pick a batch jointly: what a row is worth depends on the rows already picked.
// They run greedily, or by clusters, over the whole pool on all ranks, and the batch is the one
// that a single process would have picked: every distance is computed by the same code, every sum
// over rows is exact (exact_grid.hpp), random numbers are keyed by id, and ties go to the lower id.
// Adding one is a function and a line in the table of joint.cpp.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/collective.hpp"
#include "src/selection/select.hpp"

namespace thresher {

class JointShard;

/// What is known of the rows of one rank; spans that do not exist are empty. Ranks follow each
/// other.
struct JointRows {
    std::int64_t rows = 0;                  ///< n
    std::int64_t first_row = 0;             ///< global row of the first
    std::span<const std::int64_t> ids;      ///< [n], or empty where ids equal rows
    std::span<const float> log_probs;       ///< [n, S, C], natural logarithm; -inf is legal
    std::int64_t samples = 0, classes = 0;  ///< S and C
    std::span<const float> embeddings;      ///< [n, d]
    std::int64_t embedding_size = 0;        ///< d
    std::span<const float> class_counts{};  ///< [n, label_classes], of the labels
    std::int64_t label_classes = 0;
    std::span<const std::uint8_t> excluded;  ///< [n], 1 = takes no part; or empty
    std::span<const std::uint8_t> labelled;  ///< [n], 1 = labelled already, never picked; or empty

    std::int64_t id(std::size_t offset) const {
        return ids.empty() ? first_row + static_cast<std::int64_t>(offset) : ids[offset];
    }
};

/// How alike two embeddings are, for facility-location.
enum class Similarity {
    cosine,               ///< 1 + cos(a, b); rows of zero norm are quarantined
    dot,                  ///< <a, b>; negative ones count as 0
    rbf,                  ///< exp(-|a - b|^2 / d)
    neg_squared_distance  ///< -|a - b|^2, shifted by the largest squared distance of the pool
};

/// "cosine", "dot", "rbf", "neg-squared-distance"; throws UsageError naming the allowed ones.
Similarity similarity_named(std::string_view name);

struct JointOptions {
    std::int64_t k = 1;      ///< rows to pick
    std::uint64_t seed = 0;  ///< of every random choice
    std::uint32_t round = 0;
    Similarity similarity = Similarity::cosine;  ///< facility-location alone
    /// batchbald: joint entropies are exact while the batch has at most so many configurations,
    /// C^b, and estimated from so many sampled ones beyond.
    std::int64_t configurations = 100'000;
    /// facility-location: the greedy choice is exact up to so many rows, and made in two rounds
    /// beyond.
    std::int64_t exact_rows = 100'000;
    /// cluster-margin: rows of the smallest margin that are clustered, for each row to pick.
    std::int64_t margin_factor = 10;
};

struct JointAcquisition {
    std::string_view name;
    /// What it reads, in the words of Acquisition::needs: "log_probs", "embeddings", "samples"; or
    /// "class-counts": how many labels of each class a row has, its target or its boxes.
    std::vector<std::string_view> needs;
    bool reads(std::string_view need) const {
        return std::find(needs.begin(), needs.end(), need) != needs.end();
    }
    std::string_view description;
    std::string_view formula;  ///< of the gain that comes with each pick
    std::string_view source;
    /// For N rows over P ranks, k picks and L labelled rows: the operations of a rank, its memory
    /// beside the rows, and the bytes it exchanges.
    std::string_view time, memory, bytes;
    /// Fills `ids` and `scores` of the selection at the root. Collective.
    void (*pick)(Collective& collective, JointShard& shard, const JointOptions& options,
                 Selection& selection);
};

const std::vector<JointAcquisition>& joint_acquisitions();

/// Null where no joint acquisition has this name.
const JointAcquisition* find_joint_acquisition(std::string_view name);

/// Throws UsageError unless everything `acquisition` needs is in `available`, in the words of
/// Acquisition::needs; says what is missing, how to get it, and which joint acquisitions would fit.
void check_fits(const JointAcquisition& acquisition, std::span<const std::string> available);

/// Throws UsageError for an option out of range: what can be said before there are rows. Local.
void check_joint_options(const JointAcquisition& acquisition, const JointOptions& options);

/// Picks k rows over all ranks. At the root: ids in pick order, and for each the gain it brought
/// when it was picked (the table says which; 0 for a first row that had nothing to be compared
/// with). Rows with an embedding that is not finite, predictions that are no probabilities, or
/// an embedding of zero norm under cosine similarity are quarantined, each on its own rank; they
/// and the excluded rows take no part. Where all that is left brings nothing, picks go on in the
/// order of ids. Throws on all ranks alike: UsageError for an option out of range, Error where
/// shapes do not agree, an id occurs twice or fewer than k rows can be picked. Collective.
Selection select_jointly(Collective& collective, const JointAcquisition& acquisition,
                         const JointRows& rows, const JointOptions& options);

}  // namespace thresher
