#include "src/selection/select.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "src/base/check.hpp"
#include "src/random/philox.hpp"
#include "src/selection/candidates.hpp"
#include "src/selection/global_threshold.hpp"
#include "src/selection/ordered_key.hpp"
#include "src/selection/unique_ids.hpp"
#include "src/selection/winners.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kSampleRows = std::int64_t{1} << 15;
constexpr double kSmallestTemperature = 1e-30;
constexpr float kNoThreshold = -std::numeric_limits<float>::infinity();

const std::array<SelectorInfo, 2> kSelectors{{
    {"top-k", "the k highest scores", "argtop-k s", "-"},
    {"softmax", "k rows without replacement, in proportion to exp(score / temperature)",
     "argtop-k of s / t - log(-log u), u uniform",
     "Kool, van Hoof, Welling 2019 (arXiv 1903.06059)"},
}};

/// A key that almost surely at least k rows of the pool reach, and not many more: the upper
/// quantile, with a margin of four and a half standard deviations, of one row from each of 2^15
/// equal strata of the pool. The strata are the pool's, not the rank's, so the estimate is the same
/// for every rank count; a bad one costs a second scan, never a wrong result.
struct Estimate {
    float key;         ///< the quantile
    bool restrictive;  ///< false where k is so large a share that all rows stay candidates
};

Estimate estimate_threshold(Collective& collective, const Keys& keys, const ScoredRows& rows,
                            std::int64_t all_rows, std::int64_t k) {
    __extension__ using Wide = __int128;
    const std::int64_t strata = std::min(all_rows, kSampleRows);
    const std::int64_t end_row = rows.first_row + static_cast<std::int64_t>(rows.scores.size());
    const KeyedRandom random(0, Stream::threshold_sample, 0);
    const auto stratum_begin = [&](std::int64_t stratum) {
        return static_cast<std::int64_t>(static_cast<Wide>(all_rows) * stratum / strata);
    };
    std::vector<std::size_t> sampled;  // offsets
    auto stratum = static_cast<std::int64_t>(static_cast<Wide>(rows.first_row) * strata / all_rows);
    for (; stratum < strata && stratum_begin(stratum) < end_row; ++stratum) {
        const std::int64_t begin = stratum_begin(stratum);
        const std::int64_t row =
            begin + random.integer(stratum, stratum_begin(stratum + 1) - begin);
        if (row < rows.first_row || row >= end_row) continue;
        sampled.push_back(static_cast<std::size_t>(row - rows.first_row));
    }
    // Rows far from each other: each would be waited for, unless it was asked for in time.
    constexpr std::size_t kAhead = 32;
    std::vector<std::uint32_t> sample(sampled.size());
    for (std::size_t i = 0; i < sampled.size(); ++i) {
        if (i + kAhead < sampled.size()) {
            __builtin_prefetch(rows.scores.data() + sampled[i + kAhead]);
        }
        sample[i] = keys.key(sampled[i]);
    }
    const double expected =
        static_cast<double>(strata) * static_cast<double>(k) / static_cast<double>(all_rows);
    const auto rank =
        static_cast<std::int64_t>(std::ceil(expected + 4.5 * std::sqrt(expected) + 8.0));
    const bool restrictive = rank < strata / 2;
    const std::array<std::span<const std::uint32_t>, 1> pieces{sample};
    const Threshold quantile = find_threshold(
        collective, pieces, restrictive ? rank : std::max<std::int64_t>(1, strata / 2));
    if (quantile.key == 0) return {0.0F, false};  // most sampled rows may not be chosen
    return {from_ordered_key(quantile.key), restrictive};
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
    THRESHER_CHECK_AS(
        UsageError,
        std::isfinite(selector.temperature) && selector.temperature >= kSmallestTemperature,
        "the temperature is {}; it must be a finite number of at least {}", selector.temperature,
        kSmallestTemperature);
}

Selection select_rows(Collective& collective, const ScoredRows& rows, std::int64_t k,
                      const Selector& selector) {
    check_selection(k, selector);
    const auto own_rows = static_cast<std::int64_t>(rows.scores.size());
    std::array<std::int64_t, 3> totals{own_rows, own_rows >= (std::int64_t{1} << 32) ? 1 : 0,
                                       rows.ids.empty() ? 0 : 1};
    collective.all_reduce_sum(totals);
    const std::int64_t all_rows = totals[0];
    THRESHER_CHECK(totals[1] == 0,
                   "a rank owns more than 2^32 of the {} rows; run the selection over more ranks",
                   all_rows);
    THRESHER_CHECK(k <= all_rows, "k is {}, but the pool has {} rows; choose a smaller k", k,
                   all_rows);
    if (totals[2] > 0) check_unique_ids(collective, rows.ids);

    Keys keys(rows, selector);
    const Estimate estimate = estimate_threshold(collective, keys, rows, all_rows, k);
    THRESHER_CHECK_AS(
        UsageError, !keys.noisy() || std::isfinite(estimate.key),
        "the temperature {} is too small for scores of this size; choose a larger one",
        selector.temperature);
    keys.set_centre(estimate.key);
    const float threshold = !estimate.restrictive ? kNoThreshold
                            : keys.noisy()        ? 0.0F
                                                  : estimate.key;
    Scan scan = scan_all(keys, own_rows, threshold);
    const auto count = [&] {
        std::array<std::int64_t, 2> counts{
            scan.candidates(), own_rows - static_cast<std::int64_t>(scan.not_finite.size()) -
                                   std::count_if(rows.excluded.begin(), rows.excluded.end(),
                                                 [](auto e) { return e != 0; })};
        collective.all_reduce_sum(counts);
        return counts;
    };
    std::array<std::int64_t, 2> counts = count();
    if (counts[0] < k && counts[1] >= k) {
        scan = scan_all(keys, own_rows, kNoThreshold);
        counts = count();
    }
    THRESHER_CHECK(
        k <= counts[1],
        "k is {}, but only {} of the {} rows can be chosen (the others are excluded or have no "
        "finite score); choose a smaller k",
        k, counts[1], all_rows);

    Selection selection;
    selection.selectable = counts[1];
    for (const std::uint32_t offset : scan.not_finite) {
        selection.quarantined.push_back(
            {rows.id(offset), fmt::format("score is {}", rows.scores[offset])});
    }
    const Threshold cut = find_threshold(collective, scan.keys(), k);
    std::int64_t id_cut = std::numeric_limits<std::int64_t>::max();
    if (cut.greater + cut.equal > k) {
        std::vector<std::int64_t> tied;
        for (const Piece& piece : scan.pieces) {
            for (std::size_t i = 0; i < piece.keys.size(); ++i) {
                if (piece.keys[i] == cut.key) tied.push_back(rows.id(piece.offsets[i]));
            }
        }
        id_cut = find_id_cut(collective, tied, k - cut.greater);
    }
    merge_winners(collective, Winners(rows, keys.noisy(), scan, cut.key, id_cut, k), selection);
    return selection;
}

}  // namespace thresher
