#include "src/selection/select.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/pool/blocks.hpp"
#include "src/random/philox.hpp"
#include "src/selection/candidates.hpp"
#include "src/selection/global_threshold.hpp"
#include "src/selection/key_search.hpp"
#include "src/selection/order_statistics.hpp"
#include "src/selection/ordered_key.hpp"
#include "src/selection/unique_ids.hpp"
#include "src/selection/winners.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kSampleRows = std::int64_t{1} << 15;
// Standard deviations of how many of the k best rows are in the sample. One pool in some two
// thousand has fewer than k rows above the first margin; a wider one would keep more rows of all.
constexpr double kMargin = 3.0, kWideMargin = 8.0;
constexpr double kLargestBeta = 1e30;
constexpr std::int64_t kPowerGrain = std::int64_t{1} << 16;
constexpr float kNoThreshold = -std::numeric_limits<float>::infinity();

const std::array<SelectorInfo, 4> kSelectors{{
    {"top-k", "the k highest scores", "argtop-k s", "-"},
    {"softmax", "k rows without replacement, in proportion to exp(beta s)",
     "argtop-k of beta s - log(-log u), u uniform",
     "Kool, van Hoof and Welling 2019 (arXiv 1903.06059)"},
    {"power", "k rows without replacement, in proportion to s^beta, s >= 0",
     "argtop-k of beta log s - log(-log u)", "Kirsch et al. 2023 (arXiv 2106.12059)"},
    {"softrank", "k rows without replacement, in proportion to rank^-beta, rank 1 best",
     "argtop-k of - beta log r - log(-log u)", "Kirsch et al. 2023 (arXiv 2106.12059)"},
}};

/// The keys of this rank's rows in a sample of the pool: one row from each of 2^15 equal strata.
/// The strata are the pool's, not the rank's, so the sample is the same for every rank count.
std::vector<std::uint32_t> sample_keys(const Keys& keys, const ScoredRows& rows,
                                       std::int64_t all_rows) {
    const std::int64_t strata = std::min(all_rows, kSampleRows);
    const std::int64_t end_row = rows.first_row + static_cast<std::int64_t>(rows.scores.size());
    const KeyedRandom random(0, Stream::threshold_sample, 0);
    // all_rows stratum / strata, without a product that needs more than 64 bits.
    const auto stratum_begin = [&](std::int64_t stratum) {
        return strata < kSampleRows ? stratum
                                    : all_rows / kSampleRows * stratum +
                                          all_rows % kSampleRows * stratum / kSampleRows;
    };
    __extension__ using Wide = __int128;
    const auto first =
        static_cast<std::int64_t>(static_cast<Wide>(rows.first_row) * strata / all_rows);
    std::vector<std::uint32_t> sampled;  // offsets
    sampled.reserve(static_cast<std::size_t>(strata));
    for (std::int64_t group = first / 4; 4 * group < strata; ++group) {
        if (stratum_begin(4 * group) >= end_row) break;
        const std::array<std::uint32_t, 4> words =
            philox_block(random.counter(2 * group), random.key());
        for (std::int64_t stratum = 4 * group; stratum < std::min(4 * group + 4, strata);
             ++stratum) {
            const std::int64_t begin = stratum_begin(stratum);
            const auto width = static_cast<std::uint64_t>(stratum_begin(stratum + 1) - begin);
            const std::uint64_t place = words[static_cast<std::size_t>(stratum % 4)] * width >> 32;
            const std::int64_t row = begin + static_cast<std::int64_t>(place);
            if (row >= rows.first_row && row < end_row) {
                sampled.push_back(static_cast<std::uint32_t>(row - rows.first_row));
            }
        }
    }
    // Rows far from each other: each would be waited for, unless it was asked for in time.
    constexpr std::size_t kAhead = 32;
    std::vector<std::uint32_t> sample(sampled.size());
    for (std::size_t i = 0; i < sampled.size(); ++i) {
        if (i + kAhead < sampled.size()) keys.prefetch(sampled[i + kAhead]);
        sample[i] = keys.key(sampled[i]);
    }
    return sample;
}

/// A key that at least k rows of the pool are likely to reach, and not many more.
struct Estimate {
    float key;         ///< the upper quantile of the sample
    bool restrictive;  ///< false where k is so large a share that all rows stay candidates
};

/// From all ranks' sample, with a margin of `deviations` standard deviations. A bad one costs
/// another scan, never a wrong result.
Estimate estimate_threshold(Collective& collective, std::span<const std::uint32_t> sample,
                            std::int64_t all_rows, std::int64_t k, double deviations) {
    const std::int64_t strata = std::min(all_rows, kSampleRows);
    const double expected =
        static_cast<double>(strata) * static_cast<double>(k) / static_cast<double>(all_rows);
    const auto rank =
        static_cast<std::int64_t>(std::ceil(expected + deviations * std::sqrt(expected) + 8.0));
    const bool restrictive = rank < strata / 2;
    const std::array<std::span<const std::uint32_t>, 1> pieces{sample};
    const Threshold quantile = find_threshold(
        collective, pieces, restrictive ? rank : std::max<std::int64_t>(1, strata / 2));
    if (quantile.key > 0) return {from_ordered_key(quantile.key), restrictive};
    // Most sampled rows may not be chosen: no threshold, but a key of the others.
    if (quantile.greater == 0) return {0.0F, false};
    const Threshold median = find_threshold(collective, pieces, (quantile.greater + 1) / 2);
    return {from_ordered_key(median.key), false};
}

}  // namespace

std::span<const SelectorInfo> selectors() { return kSelectors; }

void check_selection(std::int64_t k, const Selector& selector) {
    const bool known =
        std::any_of(kSelectors.begin(), kSelectors.end(),
                    [&](const SelectorInfo& info) { return info.name == selector.name; });
    std::vector<std::string> names;
    for (const SelectorInfo& info : kSelectors) names.push_back(info.name);
    THRESHER_CHECK_AS(UsageError, known, "unknown selector \"{}\"; known: {}", selector.name,
                      fmt::join(names, ", "));
    THRESHER_CHECK_AS(UsageError, k >= 1, "k is {}; a batch has at least 1 row", k);
    THRESHER_CHECK_AS(UsageError, selector.beta >= 0.0 && selector.beta <= kLargestBeta,
                      "beta (1 / temperature) is {}; allowed are 0 to {}", selector.beta,
                      kLargestBeta);
    THRESHER_CHECK_AS(UsageError, !selector.inclusion || selector.name != "top-k",
                      "top-k picks the same rows always: there are no inclusion probabilities; use "
                      "one of the selectors that draw (softmax, power, softrank)");
}

std::int64_t check_rows(Collective& collective, const ScoredRows& rows) {
    const auto own_rows = static_cast<std::int64_t>(rows.scores.size());
    std::array<std::int64_t, 3> totals{own_rows, own_rows >= (std::int64_t{1} << 32) ? 1 : 0,
                                       rows.ids.empty() ? 0 : 1};
    collective.all_reduce_sum(totals);
    THRESHER_CHECK(totals[1] == 0,
                   "a rank owns more than 2^32 of the {} rows; run the selection over more ranks",
                   totals[0]);
    // A rank without rows has no ids, and takes part all the same.
    if (totals[2] > 0) check_unique_ids(collective, rows.ids);
    return totals[0];
}

namespace {

/// The ids of this rank's candidates whose key is that of the cut.
std::vector<std::int64_t> tied_ids(const ScoredRows& rows, const Candidates& candidates,
                                   const Threshold& cut) {
    std::vector<std::int64_t> ids;
    ids.reserve(static_cast<std::size_t>(cut.own_counts[cut.range.digit_of(cut.key)]));
    std::vector<std::size_t> places;
    for (const Piece& piece : candidates.pieces) {
        places.clear();
        find_keys(piece.keys, cut.key, 0, places);
        for (const std::size_t place : places) ids.push_back(rows.id(piece.offsets[place]));
    }
    return ids;
}

/// The probability with which each row of the batch has a key above `first_left_out`, the first
/// that is not chosen: 1 - exp(-exp(key without noise - first_left_out)); keys count from `centre`.
std::vector<double> inclusion_probabilities(std::span<const float> scores, const Selector& selector,
                                            double centre, double first_left_out) {
    std::vector<double> inclusion;
    for (const float score : scores) {
        const double logit = selector.name == "power" ? double{std::log(score)} : double{score};
        // 0 to the 0 is 1: without beta a score of 0 weighs as much as any.
        const double weight = selector.beta > 0.0 ? selector.beta * logit : 0.0;
        const double key = weight - centre;
        inclusion.push_back(-std::expm1(-std::exp(key - first_left_out)));
    }
    return inclusion;
}

/// Chooses by score, or by logits [n] and noise, among `all_rows` rows of all ranks.
Selection select_by_key(Collective& collective, const ScoredRows& rows, std::int64_t all_rows,
                        std::span<const float> logits, std::int64_t k, const Selector& selector) {
    const auto own_rows = static_cast<std::int64_t>(rows.scores.size());
    THRESHER_CHECK(k <= all_rows, "k is {}, but the pool has {} rows; choose a smaller k", k,
                   all_rows);
    Keys keys(rows, logits, selector);
    const std::vector<std::uint32_t> sample = sample_keys(keys, rows, all_rows);
    Candidates candidates;
    std::array<std::int64_t, 2> counts{};  // of candidates, and of rows that can be chosen
    std::int64_t wanted = k;
    const std::int64_t allowed =
        own_rows - std::count_if(rows.excluded.begin(), rows.excluded.end(),
                                 [](auto mark) { return mark != 0; });
    const auto enough_above = [&](float threshold) {
        candidates = find_candidates(keys, own_rows, threshold);
        counts = {candidates.count(), allowed - std::ssize(candidates.not_finite)};
        collective.all_reduce_sum(counts);
        // Inclusion probabilities need the first key that is not chosen as well.
        if (selector.inclusion) wanted = std::min(k + 1, counts[1]);
        return counts[0] >= wanted || counts[1] < wanted;
    };
    const auto enough_by_sample = [&](double margin) {
        const Estimate estimate = estimate_threshold(collective, sample, all_rows, k, margin);
        THRESHER_CHECK_AS(
            UsageError, !keys.noisy() || std::isfinite(estimate.key),
            "beta {} (1 / temperature) is too large for scores of this size; choose a smaller one",
            selector.beta);
        keys.set_centre(estimate.key);
        return enough_above(!estimate.restrictive ? kNoThreshold
                            : keys.noisy()        ? 0.0F
                                                  : estimate.key);
    };
    if (!enough_by_sample(kMargin) && !enough_by_sample(kWideMargin)) enough_above(kNoThreshold);
    THRESHER_CHECK(
        k <= counts[1],
        "k is {}, but only {} of the {} rows can be chosen (the others are excluded or have no "
        "finite score{}); choose a smaller k",
        k, counts[1], all_rows, selector.name == "power" ? ", or a score of 0" : "");

    Selection selection;
    selection.selectable = counts[1];
    for (const std::uint32_t offset : candidates.not_finite) {
        selection.quarantined.push_back(
            {rows.id(offset), fmt::format("score is {}", rows.scores[offset])});
    }
    const Threshold cut = find_threshold(collective, candidates.keys(), k);
    std::int64_t id_cut = std::numeric_limits<std::int64_t>::max();
    if (cut.greater + cut.equal > k) {
        id_cut = find_id_cut(collective, tied_ids(rows, candidates, cut), k - cut.greater);
    }
    double first_left_out = -std::numeric_limits<double>::infinity();
    if (wanted > k) {
        first_left_out = from_ordered_key(find_threshold(collective, candidates.keys(), k + 1).key);
    }
    gather_winners(collective, rows, keys.noisy(), std::move(candidates), cut, id_cut, selection);
    if (selector.inclusion) {
        selection.inclusion =
            inclusion_probabilities(selection.scores, selector, keys.centre(), first_left_out);
    }
    return selection;
}

/// In proportion to score^beta: a softmax of beta log score.
Selection select_by_power(Collective& collective, const ScoredRows& rows, std::int64_t all_rows,
                          std::int64_t k, const Selector& selector) {
    std::vector<float> logits(rows.scores.size());
    std::vector<std::uint8_t> excluded(rows.excluded.begin(), rows.excluded.end());
    excluded.resize(rows.scores.size(), 0);
    std::atomic<bool> negative = false;
    parallel_for(std::ssize(logits), kPowerGrain, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
            const float score = rows.scores[i];
            if (std::isfinite(score) && score < 0.0F && excluded[i] == 0) negative = true;
            logits[i] = selector.beta > 0.0 ? std::log(score) : score * 0.0F;
            // No weight, no chance; what is not finite stays to be quarantined.
            if (score == 0.0F && selector.beta > 0.0) excluded[i] = 1;
        }
    });
    THRESHER_CHECK(!any_rank(collective, negative),
                   "selector power draws in proportion to score^beta, but some scores are below 0; "
                   "use softmax or softrank");
    return select_by_key(collective, {rows.scores, rows.first_row, rows.ids, excluded}, all_rows,
                         logits, k, selector);
}

/// In proportion to rank^-beta. Which ranks are drawn does not depend on the scores, so they are
/// drawn first, and then the rows that hold them are found.
Selection select_by_rank(Collective& collective, const ScoredRows& rows, std::int64_t k,
                         const Selector& selector) {
    Selection selection;
    selection.selectable = count_selectable(collective, rows, selection.quarantined);
    THRESHER_CHECK(
        k <= selection.selectable,
        "k is {}, but only {} rows can be chosen (the others are excluded or have no finite "
        "score); choose a smaller k",
        k, selection.selectable);
    const RowRange own =
        BlockPartition{selection.selectable, 1, collective.size()}.owned_rows(collective.rank());
    std::vector<float> logits(static_cast<std::size_t>(own.size()));
    for (std::size_t i = 0; i < logits.size(); ++i) {
        logits[i] = static_cast<float>(
            -std::log(static_cast<double>(own.begin + 1) + static_cast<double>(i)));
    }
    Selection ranks = select_by_key(collective, {logits, own.begin, {}, {}}, selection.selectable,
                                    logits, k, selector);
    ranks.ids.resize(static_cast<std::size_t>(k));
    collective.broadcast(std::span(ranks.ids));
    const std::vector<ScoredRow> found = rows_at_places(collective, rows, ranks.ids);
    for (const ScoredRow& row : found) {
        selection.ids.push_back(row.id);
        selection.scores.push_back(row.score);
    }
    selection.inclusion = std::move(ranks.inclusion);
    return selection;
}

}  // namespace

Selection select_rows(Collective& collective, const ScoredRows& rows, std::int64_t k,
                      const Selector& selector) {
    check_selection(k, selector);
    const std::int64_t all_rows = check_rows(collective, rows);
    if (selector.name == "power") return select_by_power(collective, rows, all_rows, k, selector);
    if (selector.name == "softrank") return select_by_rank(collective, rows, k, selector);
    return select_by_key(collective, rows, all_rows, rows.scores, k, selector);
}

}  // namespace thresher
