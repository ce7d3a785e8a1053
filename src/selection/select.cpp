#include "src/selection/select.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <queue>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"
#include "src/selection/global_threshold.hpp"
#include "src/selection/ordered_key.hpp"
#include "src/selection/scan.hpp"
#include "src/selection/unique_ids.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kPieceRows = std::int64_t{1} << 20;
constexpr std::int64_t kSampleRows = std::int64_t{1} << 15;
constexpr float kNoThreshold = -std::numeric_limits<float>::infinity();

const std::array<SelectorInfo, 2> kSelectors{{
    {"top-k", "the k highest scores", "argtop-k s", "-"},
    {"softmax", "k rows without replacement, in proportion to exp(score / temperature)",
     "argtop-k of s / t - log(-log u), u uniform",
     "Kool, van Hoof, Welling 2019 (arXiv 1903.06059)"},
}};

/// A chosen row on its way to the root.
struct Winner {
    std::int64_t id;
    float score;
    std::uint32_t key;
};

/// The keys of one rank's rows: the score itself, or the perturbed score less `centre`. Keys are
/// ordered as 32-bit floats; with a centre near the cut, they are at their finest where the choice
/// is made.
class Keys {
  public:
    Keys(const ScoredRows& rows, const Selector& selector)
        : rows_(rows),
          noisy_(selector.name == "softmax"),
          temperature_(selector.temperature),
          random_(selector.seed, Stream::selection, selector.round) {}

    void set_centre(double centre) { centre_ = noisy_ ? centre : 0.0; }

    bool usable(std::size_t offset) const {
        return (rows_.excluded.empty() || rows_.excluded[offset] == 0) &&
               std::isfinite(rows_.scores[offset]);
    }

    float key(std::size_t offset) const {
        const float score = rows_.scores[offset];
        if (!noisy_) return score;
        return static_cast<float>(score / temperature_ + random_.gumbel(rows_.id(offset)) -
                                  centre_);
    }

    /// Candidates among [begin, end): all usable rows whose key is at least `threshold`.
    std::vector<std::uint64_t> collect(std::size_t begin, std::size_t end, float threshold,
                                       std::vector<std::uint32_t>& not_finite) const {
        ScanHits hits;
        const auto piece = rows_.scores.subspan(begin, end - begin);
        const auto first = static_cast<std::uint32_t>(begin);
        if (!noisy_) {
            scan_scores(piece, first, threshold, hits);
        } else if (rows_.ids.empty()) {
            scan_gumbel_keys(piece, first, rows_.id(begin), random_, temperature_,
                             double{threshold} + centre_, hits);
        } else {  // ids in any order: each key is computed
            scan_scores(piece, first, kNoThreshold, hits);
        }
        std::vector<std::uint64_t> candidates;
        candidates.reserve(hits.candidates.size());
        for (const std::uint32_t offset : hits.candidates) {
            if (!rows_.excluded.empty() && rows_.excluded[offset] != 0) continue;
            const float value = key(offset);
            if (value >= threshold)
                candidates.push_back(pack_candidate(ordered_key(value), offset));
        }
        for (const std::uint32_t offset : hits.not_finite) {
            if (rows_.excluded.empty() || rows_.excluded[offset] == 0) not_finite.push_back(offset);
        }
        return candidates;
    }

  private:
    const ScoredRows& rows_;
    bool noisy_;
    double temperature_;
    KeyedRandom random_;
    double centre_ = 0.0;
};

/// Candidates of this rank in pieces of consecutive rows, and the rows with no finite score.
struct Scan {
    std::vector<std::vector<std::uint64_t>> pieces;
    std::vector<std::uint32_t> not_finite;

    std::int64_t candidates() const {
        return std::accumulate(pieces.begin(), pieces.end(), std::int64_t{0},
                               [](std::int64_t sum, const auto& piece) {
                                   return sum + static_cast<std::int64_t>(piece.size());
                               });
    }
};

Scan scan_all(const Keys& keys, std::int64_t rows, float threshold) {
    Scan scan;
    scan.pieces.resize(static_cast<std::size_t>((rows + kPieceRows - 1) / kPieceRows));
    std::vector<std::vector<std::uint32_t>> not_finite(scan.pieces.size());
    parallel_for(rows, kPieceRows, [&](std::int64_t begin, std::int64_t end) {
        const auto piece = static_cast<std::size_t>(begin / kPieceRows);
        scan.pieces[piece] =
            keys.collect(static_cast<std::size_t>(begin), static_cast<std::size_t>(end), threshold,
                         not_finite[piece]);
    });
    for (const auto& part : not_finite) {
        scan.not_finite.insert(scan.not_finite.end(), part.begin(), part.end());
    }
    return scan;
}

/// A key that almost surely at least k rows of the pool reach, and not many more: the upper
/// quantile, with a margin of six standard deviations, of one row from each of 2^15 equal strata of
/// the pool. The strata are the pool's, not the rank's, so the estimate is the same for every rank
/// count; a bad one costs a second scan, never a wrong result.
struct Estimate {
    float key;         ///< the quantile
    bool restrictive;  ///< false where k is so large a share that all rows stay candidates
};

Estimate estimate_threshold(Collective& collective, const Keys& keys, const ScoredRows& rows,
                            std::int64_t all_rows, std::int64_t k) {
    const std::int64_t strata = std::min(all_rows, kSampleRows);
    const std::int64_t end_row = rows.first_row + static_cast<std::int64_t>(rows.scores.size());
    const KeyedRandom random(0, Stream::threshold_sample, 0);
    const auto stratum_begin = [&](std::int64_t stratum) {
        __extension__ using Wide = __int128;
        return static_cast<std::int64_t>(static_cast<Wide>(all_rows) * stratum / strata);
    };
    std::vector<std::vector<std::uint64_t>> sample(1);
    __extension__ using Wide = __int128;
    auto stratum = static_cast<std::int64_t>(static_cast<Wide>(rows.first_row) * strata / all_rows);
    for (; stratum < strata && stratum_begin(stratum) < end_row; ++stratum) {
        const std::int64_t begin = stratum_begin(stratum);
        const std::int64_t row =
            begin +
            random.integer(stratum, std::max<std::int64_t>(1, stratum_begin(stratum + 1) - begin));
        if (row < rows.first_row || row >= end_row) continue;
        const auto offset = static_cast<std::size_t>(row - rows.first_row);
        const std::uint32_t key = keys.usable(offset) ? ordered_key(keys.key(offset)) : 0;
        sample[0].push_back(pack_candidate(key, 0));
    }
    const double expected =
        static_cast<double>(strata) * static_cast<double>(k) / static_cast<double>(all_rows);
    const auto rank =
        static_cast<std::int64_t>(std::ceil(expected + 6.0 * std::sqrt(expected) + 16.0));
    const bool restrictive = rank < strata / 2;
    const Threshold quantile = find_threshold(
        collective, sample, restrictive ? rank : std::max<std::int64_t>(1, strata / 2));
    if (quantile.key == 0) return {0.0F, false};  // most sampled rows cannot be chosen
    return {from_ordered_key(quantile.key), restrictive};
}

/// This rank's winners: above the cut, or at it with an id up to `id_cut`. Sorted by key, then id.
std::vector<Winner> collect_winners(const ScoredRows& rows, const Scan& scan, std::uint32_t cut,
                                    std::int64_t id_cut) {
    std::vector<Winner> winners;
    std::uint32_t largest = cut;
    for (const auto& piece : scan.pieces) {
        for (const std::uint64_t candidate : piece) {
            const std::uint32_t key = candidate_key(candidate);
            const std::size_t offset = candidate_offset(candidate);
            if (key < cut || (key == cut && rows.id(offset) > id_cut)) continue;
            winners.push_back({rows.id(offset), rows.scores[offset], key});
            largest = std::max(largest, key);
        }
    }
    // Least significant digit first on largest - key; stable, so rows in id order stay so among
    // equals.
    std::vector<std::uint64_t> order(winners.size()), buffer(winners.size());
    for (std::size_t i = 0; i < winners.size(); ++i) {
        order[i] = (std::uint64_t{largest - winners[i].key} << 32) | i;
    }
    const int bits = static_cast<int>(std::bit_width(largest - cut));
    for (int shift = 32; shift < 32 + bits; shift += 11) {
        std::array<std::size_t, 2049> place{};
        for (const std::uint64_t item : order) ++place[((item >> shift) & 2047) + 1];
        for (std::size_t digit = 1; digit < place.size(); ++digit) place[digit] += place[digit - 1];
        for (const std::uint64_t item : order) buffer[place[(item >> shift) & 2047]++] = item;
        order.swap(buffer);
    }
    std::vector<Winner> sorted(winners.size());
    for (std::size_t i = 0; i < order.size(); ++i) sorted[i] = winners[order[i] & 0xffffffffU];
    if (!rows.ids.empty()) {
        for (auto run = sorted.begin(); run != sorted.end();) {
            auto next =
                std::find_if(run, sorted.end(), [&](const Winner& w) { return w.key != run->key; });
            std::sort(run, next, [](const Winner& a, const Winner& b) { return a.id < b.id; });
            run = next;
        }
    }
    return sorted;
}

/// The ranks' sorted winners as one sorted list, at the root.
void merge_winners(Collective& collective, const std::vector<Winner>& own, Selection& selection) {
    const Gathered<Winner> all = collective.gather_v(std::span<const Winner>(own));
    if (!collective.is_root()) return;
    selection.ids.reserve(all.values.size());
    selection.scores.reserve(all.values.size());
    std::vector<std::span<const Winner>> heads;
    for (int rank = 0; rank < collective.size(); ++rank) {
        if (!all.of(rank).empty()) heads.push_back(all.of(rank));
    }
    const auto later = [](std::span<const Winner> a, std::span<const Winner> b) {
        return a[0].key != b[0].key ? a[0].key < b[0].key : a[0].id > b[0].id;
    };
    std::make_heap(heads.begin(), heads.end(), later);
    while (!heads.empty()) {
        std::pop_heap(heads.begin(), heads.end(), later);
        std::span<const Winner>& best = heads.back();
        const std::size_t run = heads.size() == 1 ? best.size() : 1;
        for (const Winner& winner : best.first(run)) {
            selection.ids.push_back(winner.id);
            selection.scores.push_back(winner.score);
        }
        best = best.subspan(run);
        if (best.empty()) {
            heads.pop_back();
        } else {
            std::push_heap(heads.begin(), heads.end(), later);
        }
    }
}

void check_request(std::int64_t k, const Selector& selector) {
    const bool known =
        std::any_of(kSelectors.begin(), kSelectors.end(),
                    [&](const SelectorInfo& info) { return info.name == selector.name; });
    std::vector<std::string> names;
    for (const SelectorInfo& info : kSelectors) names.push_back(info.name);
    THRESHER_CHECK_AS(UsageError, known, "unknown selector \"{}\"; known: {}", selector.name,
                      fmt::join(names, ", "));
    THRESHER_CHECK_AS(UsageError, k >= 1, "k is {}; a batch has at least 1 row", k);
    THRESHER_CHECK_AS(UsageError, std::isfinite(selector.temperature) && selector.temperature > 0,
                      "the temperature is {}; it must be a finite number above 0",
                      selector.temperature);
}

}  // namespace

std::span<const SelectorInfo> selectors() { return kSelectors; }

Selection select_rows(Collective& collective, const ScoredRows& rows, std::int64_t k,
                      const Selector& selector) {
    check_request(k, selector);
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
    keys.set_centre(estimate.key);
    const float threshold = !estimate.restrictive        ? kNoThreshold
                            : selector.name == "softmax" ? 0.0F
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
    const Threshold cut = find_threshold(collective, scan.pieces, k);
    std::int64_t id_cut = std::numeric_limits<std::int64_t>::max();
    if (cut.greater + cut.equal > k) {
        std::vector<std::int64_t> tied;
        for (const auto& piece : scan.pieces) {
            for (const std::uint64_t candidate : piece) {
                if (candidate_key(candidate) == cut.key) {
                    tied.push_back(rows.id(candidate_offset(candidate)));
                }
            }
        }
        id_cut = find_id_cut(collective, tied, k - cut.greater);
    }
    merge_winners(collective, collect_winners(rows, scan, cut.key, id_cut), selection);
    return selection;
}

}  // namespace thresher
