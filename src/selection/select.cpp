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

constexpr std::int64_t kPieceRows = std::int64_t{1} << 17;
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

/// The keys of one rank's rows: the score itself, or the perturbed score less a centre near the
/// cut.
class Keys {
  public:
    Keys(const ScoredRows& rows, const Selector& selector)
        : rows_(rows),
          noisy_(selector.name == "softmax"),
          gumbel_{KeyedRandom(selector.seed, Stream::selection, selector.round),
                  selector.temperature, 0.0} {}

    bool noisy() const { return noisy_; }
    void set_centre(double centre) { gumbel_.centre = centre; }

    /// The ordered key of one row; 0, below every other, for a row that may not be chosen.
    std::uint32_t key(std::size_t offset) const {
        if (excluded(offset) || !std::isfinite(rows_.scores[offset])) return 0;
        float key = rows_.scores[offset];
        if (noisy_) {
            const std::uint64_t bits = gumbel_.random.bits(rows_.id(offset));
            gumbel_.compute(rows_.scores.subspan(offset, 1), std::span(&bits, 1),
                            std::span(&key, 1));
        }
        return ordered_key(key);
    }

    /// The rows of [begin, end) that may be chosen and whose key is at least `threshold`.
    void collect(std::size_t begin, std::size_t end, float threshold, Candidates& candidates,
                 std::vector<std::uint32_t>& not_finite) const {
        const auto piece = rows_.scores.subspan(begin, end - begin);
        const auto first = static_cast<std::uint32_t>(begin);
        if (!noisy_) {
            scan_scores(piece, first, threshold, candidates, not_finite);
        } else if (rows_.ids.empty()) {
            scan_gumbel_keys(piece, first, rows_.id(begin), gumbel_, threshold, candidates,
                             not_finite);
        } else {
            collect_noisy_by_id(piece, first, threshold, candidates, not_finite);
        }
        if (!rows_.excluded.empty()) drop_excluded(candidates, not_finite);
    }

  private:
    bool excluded(std::size_t offset) const {
        return !rows_.excluded.empty() && rows_.excluded[offset] != 0;
    }

    /// Ids in any order: every row's key is computed.
    void collect_noisy_by_id(std::span<const float> piece, std::uint32_t first, float threshold,
                             Candidates& candidates, std::vector<std::uint32_t>& not_finite) const {
        std::vector<std::uint64_t> bits(piece.size());
        std::vector<float> keys(piece.size());
        for (std::size_t i = 0; i < piece.size(); ++i) {
            bits[i] = gumbel_.random.bits(rows_.id(first + i));
        }
        gumbel_.compute(piece, bits, keys);
        for (std::size_t i = 0; i < piece.size(); ++i) {
            const auto offset = static_cast<std::uint32_t>(first + i);
            if (!std::isfinite(piece[i])) {
                not_finite.push_back(offset);
            } else if (keys[i] >= threshold) {
                candidates.keys.push_back(ordered_key(keys[i]));
                candidates.offsets.push_back(offset);
            }
        }
    }

    void drop_excluded(Candidates& candidates, std::vector<std::uint32_t>& not_finite) const {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < candidates.offsets.size(); ++i) {
            if (excluded(candidates.offsets[i])) continue;
            candidates.keys[kept] = candidates.keys[i];
            candidates.offsets[kept++] = candidates.offsets[i];
        }
        candidates.keys.resize(kept);
        candidates.offsets.resize(kept);
        std::erase_if(not_finite, [&](std::uint32_t offset) { return excluded(offset); });
    }

    const ScoredRows& rows_;
    bool noisy_;
    GumbelKeys gumbel_;
};

/// Candidates of this rank in pieces of consecutive rows, and the rows with no finite score.
struct Scan {
    std::vector<Candidates> pieces;
    std::vector<std::uint32_t> not_finite;

    std::vector<std::span<const std::uint32_t>> keys() const {
        std::vector<std::span<const std::uint32_t>> spans;
        for (const Candidates& piece : pieces) spans.emplace_back(piece.keys);
        return spans;
    }
    std::int64_t candidates() const {
        std::int64_t sum = 0;
        for (const Candidates& piece : pieces) sum += static_cast<std::int64_t>(piece.keys.size());
        return sum;
    }
};

Scan scan_all(const Keys& keys, std::int64_t rows, float threshold) {
    Scan scan;
    scan.pieces.resize(static_cast<std::size_t>((rows + kPieceRows - 1) / kPieceRows));
    std::vector<std::vector<std::uint32_t>> not_finite(scan.pieces.size());
    parallel_for(rows, kPieceRows, [&](std::int64_t begin, std::int64_t end) {
        const auto piece = static_cast<std::size_t>(begin / kPieceRows);
        thread_local Candidates found;
        found.keys.clear();
        found.offsets.clear();
        keys.collect(static_cast<std::size_t>(begin), static_cast<std::size_t>(end), threshold,
                     found, not_finite[piece]);
        scan.pieces[piece] = found;
    });
    for (const auto& part : not_finite) {
        scan.not_finite.insert(scan.not_finite.end(), part.begin(), part.end());
    }
    return scan;
}

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
    std::vector<std::uint32_t> sample;
    auto stratum = static_cast<std::int64_t>(static_cast<Wide>(rows.first_row) * strata / all_rows);
    for (; stratum < strata && stratum_begin(stratum) < end_row; ++stratum) {
        const std::int64_t begin = stratum_begin(stratum);
        const std::int64_t row =
            begin + random.integer(stratum, stratum_begin(stratum + 1) - begin);
        if (row < rows.first_row || row >= end_row) continue;
        sample.push_back(keys.key(static_cast<std::size_t>(row - rows.first_row)));
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

/// Stable sort of items by their upper halves, of which the lowest `bits` bits differ; least
/// significant digit first, in as few passes as digits of up to 12 bits allow.
void sort_by_upper_half(std::vector<std::uint64_t>& items, int bits) {
    if (bits == 0) return;
    const int passes = (bits + 11) / 12;
    const int width = (bits + passes - 1) / passes;
    const std::uint64_t digit_mask = (std::uint64_t{1} << width) - 1;
    std::vector<std::uint64_t> buffer(items.size());
    std::vector<std::size_t> place(digit_mask + 2);
    for (int shift = 32; shift < 32 + bits; shift += width) {
        std::fill(place.begin(), place.end(), 0);
        for (const std::uint64_t item : items) ++place[((item >> shift) & digit_mask) + 1];
        for (std::size_t digit = 1; digit < place.size(); ++digit) place[digit] += place[digit - 1];
        for (const std::uint64_t item : items) buffer[place[(item >> shift) & digit_mask]++] = item;
        items.swap(buffer);
    }
}

/// This rank's winners: above the cut, or at it with an id up to `id_cut`. Sorted by key, then id.
/// At most `limit` of them.
std::vector<Winner> collect_winners(const ScoredRows& rows, const Scan& scan, std::uint32_t cut,
                                    std::int64_t id_cut, std::int64_t limit) {
    // {~key, place in offsets and scores}: ascending is best first.
    std::vector<std::uint64_t> order;
    std::vector<std::uint32_t> offsets;
    std::vector<float> scores;
    const auto capacity = static_cast<std::size_t>(std::min(limit, scan.candidates()));
    order.reserve(capacity);
    offsets.reserve(capacity);
    scores.reserve(capacity);
    std::uint32_t largest = cut;
    for (const Candidates& piece : scan.pieces) {
        for (std::size_t i = 0; i < piece.keys.size(); ++i) {
            const std::uint32_t key = piece.keys[i];
            const std::uint32_t offset = piece.offsets[i];
            if (key < cut || (key == cut && rows.id(offset) > id_cut)) continue;
            order.push_back((std::uint64_t{~key} << 32) | offsets.size());
            offsets.push_back(offset);
            scores.push_back(rows.scores[offset]);
            largest = std::max(largest, key);
        }
    }
    sort_by_upper_half(order, static_cast<int>(std::bit_width(largest ^ cut)));
    std::vector<Winner> winners;
    winners.reserve(order.size());
    for (const std::uint64_t item : order) {
        const std::size_t place = item & 0xffffffffU;
        winners.push_back(
            {rows.id(offsets[place]), scores[place], ~static_cast<std::uint32_t>(item >> 32)});
    }
    if (!rows.ids.empty()) {  // rows with equal keys came in the order of rows, not of ids
        for (auto run = winners.begin(); run != winners.end();) {
            const auto next = std::find_if(run, winners.end(),
                                           [&](const Winner& w) { return w.key != run->key; });
            std::sort(run, next, [](const Winner& a, const Winner& b) { return a.id < b.id; });
            run = next;
        }
    }
    return winners;
}

/// The ranks' sorted winners as one sorted list, at the root.
void merge_winners(Collective& collective, const std::vector<Winner>& own, Selection& selection) {
    Gathered<Winner> all;
    std::vector<std::span<const Winner>> heads;
    if (collective.size() == 1) {
        heads.emplace_back(own);
    } else {
        all = collective.gather_v(std::span<const Winner>(own));
        if (!collective.is_root()) return;
        for (int rank = 0; rank < collective.size(); ++rank) {
            if (!all.of(rank).empty()) heads.push_back(all.of(rank));
        }
    }
    std::size_t total = 0;
    for (const auto& head : heads) total += head.size();
    selection.ids.resize(total);
    selection.scores.resize(total);
    const auto later = [](std::span<const Winner> a, std::span<const Winner> b) {
        return a[0].key != b[0].key ? a[0].key < b[0].key : a[0].id > b[0].id;
    };
    std::make_heap(heads.begin(), heads.end(), later);
    for (std::size_t place = 0; place < total;) {
        std::pop_heap(heads.begin(), heads.end(), later);
        std::span<const Winner>& best = heads.back();
        const std::size_t run = heads.size() == 1 ? best.size() : 1;
        for (const Winner& winner : best.first(run)) {
            selection.ids[place] = winner.id;
            selection.scores[place++] = winner.score;
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
        for (const Candidates& piece : scan.pieces) {
            for (std::size_t i = 0; i < piece.keys.size(); ++i) {
                if (piece.keys[i] == cut.key) tied.push_back(rows.id(piece.offsets[i]));
            }
        }
        id_cut = find_id_cut(collective, tied, k - cut.greater);
    }
    merge_winners(collective, collect_winners(rows, scan, cut.key, id_cut, k), selection);
    return selection;
}

}  // namespace thresher
