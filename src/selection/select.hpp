#pragma once

// The global selection: every rank brings the scores of the rows it owns, and the root receives the
// k rows that one process with all scores would have chosen, in the same order.
//
// Exact: total order by key descending, then id ascending; the key is the score (top-k), or a logit
// + Gumbel noise keyed by (seed, round, id) (Kool et al., "Stochastic beams and where to find
// them", ICML 2019: the k largest keys are a sample without replacement from the softmax of the
// logits). The logit is beta s (softmax), beta log s (power) or - beta log of the score's rank
// (softrank). The number of collectives is constant, but for a fixed number more where rows tie at
// the cut or the sample misled; softrank apart, only the last, which moves the k winners, depends
// on k.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/base/collective.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher {

/// The scores of one rank's rows.
struct ScoredRows {
    std::span<const float> scores;           ///< [n]; what is not finite is quarantined
    std::int64_t first_row = 0;              ///< global row of scores[0]; ranks follow each other
    std::span<const std::int64_t> ids;       ///< [n], or empty where ids equal rows
    std::span<const std::uint8_t> excluded;  ///< [n], 1 = may not be chosen; or empty

    std::int64_t id(std::size_t offset) const {
        return ids.empty() ? first_row + static_cast<std::int64_t>(offset) : ids[offset];
    }
};

struct Selector {
    std::string name = "top-k";  ///< see selectors()
    double beta = 1.0;  ///< all but top-k: 0 draws uniformly, more follows the scores more closely
    std::uint64_t seed = 0;   ///< all but top-k
    std::uint32_t round = 0;  ///< all but top-k: another round, another sample
    bool inclusion = false;   ///< also compute Selection::inclusion; not for top-k
};

/// What each selector does, for `thresher list` and for errors.
struct SelectorInfo {
    std::string name, description, formula, source;
};
std::span<const SelectorInfo> selectors();

struct Selection {
    std::vector<std::int64_t> ids;  ///< [k] in pick order, at the root; empty elsewhere
    std::vector<float> scores;      ///< [k], at the root; empty elsewhere
    /// [k], at the root where asked for: the probability that the row is picked, given the largest
    /// key that was not. The mean over the selectable rows of any f is estimated without bias by
    /// the sum over the batch of f / (inclusion x selectable) (Kool et al. 2019, section 4).
    std::vector<double> inclusion;
    std::vector<QuarantinedRow> quarantined;  ///< this rank's rows whose score is not finite
    std::int64_t selectable = 0;              ///< rows over all ranks that could be chosen
};

/// Throws UsageError for an unknown selector, k < 1, a beta outside [0, 1e30] or inclusion
/// probabilities of top-k: what can be said before there are scores. Local.
void check_selection(std::int64_t k, const Selector& selector);

/// The rows of all ranks. Throws Error on all ranks alike where a rank owns 2^32 rows or more, or
/// an id occurs twice: what every selection asks of its rows. Collective.
std::int64_t check_rows(Collective& collective, const ScoredRows& rows);

/// Chooses k rows over all ranks. Throws on all ranks alike: UsageError as check_selection; Error
/// for k beyond the selectable rows, for an id that occurs twice and for a score below 0 under
/// power (where a score of 0 is never drawn unless beta is 0). Memory: up to 8 bytes for each row
/// that can still be chosen when the scan is over (few, unless k is a large share of all rows, or
/// many tie at the cut: those take 8 more each), plus 8 k on every rank and 48 k at the root; power
/// 5 bytes a row more; softrank 4 bytes a row, and 16 k on every rank.
/// A rank may own fewer than 2^32 rows. Collective.
Selection select_rows(Collective& collective, const ScoredRows& rows, std::int64_t k,
                      const Selector& selector);

}  // namespace thresher
