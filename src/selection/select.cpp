#include "src/selection/select.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <utility>

#include "src/base/check.hpp"
#include "src/base/huge_pages.hpp"
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
constexpr double kSmallestTemperature = 1e-30;
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

/// Where the candidates of all pieces are kept: few large allocations instead of two small ones a
/// piece. Safe from any thread.
class CandidateStore {
  public:
    /// A copy of `values` that lives as long as the store.
    std::span<const std::uint32_t> keep(std::span<const std::uint32_t> values) {
        std::span<std::uint32_t> room;
        {
            const std::lock_guard lock(mutex_);
            if (values.size() > free_.size()) {
                const std::size_t size = std::max(values.size(), next_block_);
                next_block_ = kBlock;
                blocks_.push_back(std::make_unique_for_overwrite<std::uint32_t[]>(size));
                free_ = std::span(blocks_.back().get(), size);
                advise_huge_pages(free_.data(), free_.size_bytes());
            }
            room = free_.first(values.size());
            free_ = free_.subspan(values.size());
        }
        std::copy(values.begin(), values.end(), room.begin());
        return room;
    }

  private:
    static constexpr std::size_t kBlock = std::size_t{4} << 20;

    std::mutex mutex_;
    std::vector<std::unique_ptr<std::uint32_t[]>> blocks_;
    std::span<std::uint32_t> free_;
    std::size_t next_block_ = std::size_t{1} << 16;  ///< small, for small pools
};

/// The candidates among consecutive rows, in ascending order of offset.
struct Piece {
    std::span<const std::uint32_t> keys, offsets;
};

/// Candidates of this rank in pieces of consecutive rows, and the rows with no finite score.
struct Scan {
    std::unique_ptr<CandidateStore> store;
    std::vector<Piece> pieces;
    std::vector<std::uint32_t> not_finite;

    std::vector<std::span<const std::uint32_t>> keys() const {
        std::vector<std::span<const std::uint32_t>> spans;
        for (const Piece& piece : pieces) spans.emplace_back(piece.keys);
        return spans;
    }
    std::int64_t candidates() const {
        std::int64_t sum = 0;
        for (const Piece& piece : pieces) sum += static_cast<std::int64_t>(piece.keys.size());
        return sum;
    }
};

Scan scan_all(const Keys& keys, std::int64_t rows, float threshold) {
    Scan scan;
    scan.store = std::make_unique<CandidateStore>();
    scan.pieces.resize(static_cast<std::size_t>((rows + kPieceRows - 1) / kPieceRows));
    std::vector<std::vector<std::uint32_t>> not_finite(scan.pieces.size());
    parallel_for(rows, kPieceRows, [&](std::int64_t begin, std::int64_t end) {
        const auto piece = static_cast<std::size_t>(begin / kPieceRows);
        thread_local Candidates found;
        found.keys.clear();
        found.offsets.clear();
        keys.collect(static_cast<std::size_t>(begin), static_cast<std::size_t>(end), threshold,
                     found, not_finite[piece]);
        scan.pieces[piece] = {scan.store->keep(found.keys), scan.store->keep(found.offsets)};
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

using Items = std::unique_ptr<std::uint64_t[]>;

Items make_items(std::size_t count) {
    auto items = std::make_unique_for_overwrite<std::uint64_t[]>(count);
    advise_huge_pages(items.get(), count * sizeof(items[0]));
    return items;
}

/// Sorts `count` items by their upper halves, of which the lowest `bits` bits differ, descending;
/// equal ones stay in order. Least significant digit first, all digits counted in one pass.
Items sort_by_upper_half(Items items, std::size_t count, int bits) {
    constexpr int kMaxWidth = 12;
    if (bits == 0) return items;
    const int digits = (bits + kMaxWidth - 1) / kMaxWidth;
    const int width = (bits + digits - 1) / digits;
    const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
    std::array<std::array<std::uint32_t, std::size_t{1} << kMaxWidth>, 3> places{};
    for (std::size_t i = 0; i < count; ++i) {
        std::uint64_t rest = items[i] >> 32;
        for (int digit = 0; digit < digits; ++digit, rest >>= width) {
            ++places[static_cast<std::size_t>(digit)][rest & mask];
        }
    }
    Items buffer = make_items(count);
    for (int digit = 0; digit < digits; ++digit) {
        auto& place = places[static_cast<std::size_t>(digit)];
        std::uint32_t next = 0;
        for (std::size_t value = mask + 1; value-- > 0;) {
            next += std::exchange(place[value], next);
        }
        const int shift = 32 + digit * width;
        for (std::size_t i = 0; i < count; ++i) {
            buffer[place[(items[i] >> shift) & mask]++] = items[i];
        }
        items.swap(buffer);
    }
    return items;
}

/// This rank's part of the batch, best first.
class Winners {
  public:
    /// The candidates above the cut, and those at it with an id up to `id_cut`; at most `limit`.
    Winners(const ScoredRows& rows, bool noisy, const Scan& scan, std::uint32_t cut,
            std::int64_t id_cut, std::int64_t limit)
        : rows_(rows), noisy_(noisy), cut_(cut) {
        const auto capacity = static_cast<std::size_t>(std::min(limit, scan.candidates()));
        // One more: each candidate is written, and overwritten by the next unless it wins.
        Items items = make_items(capacity + 1);
        std::uint32_t largest = cut;
        std::size_t count = 0;
        for (const Piece& piece : scan.pieces) {
            for (std::size_t i = 0; i < piece.keys.size(); ++i) {
                const std::uint32_t key = piece.keys[i];
                const std::uint32_t offset = piece.offsets[i];
                bool wins = key > cut;
                if (key == cut) wins = rows.id(offset) <= id_cut;
                items[count] = (std::uint64_t{key - cut} << 32) | offset;
                count += wins ? 1 : 0;
                largest = std::max(largest, key);
            }
        }
        count_ = count;
        items_ = sort_by_upper_half(std::move(items), count,
                                    static_cast<int>(std::bit_width(largest - cut)));
        if (!rows.ids.empty()) sort_ties_by_id();
    }

    std::size_t size() const { return count_; }
    std::uint32_t key(std::size_t place) const {
        return cut_ + static_cast<std::uint32_t>(items_[place] >> 32);
    }
    std::int64_t id(std::size_t place) const { return rows_.id(offset(place)); }
    /// A key of top-k is the score itself: no need to fetch it from among all scores.
    float score(std::size_t place) const {
        return noisy_ ? rows_.scores[offset(place)] : from_ordered_key(key(place));
    }

  private:
    std::size_t offset(std::size_t place) const { return items_[place] & 0xffffffffU; }

    /// Rows with equal keys are in the order of rows, not of ids.
    void sort_ties_by_id() {
        for (std::size_t begin = 0; begin < count_;) {
            std::size_t end = begin + 1;
            while (end < count_ && key(end) == key(begin)) ++end;
            std::sort(items_.get() + begin, items_.get() + end,
                      [&](std::uint64_t a, std::uint64_t b) {
                          return rows_.ids[a & 0xffffffffU] < rows_.ids[b & 0xffffffffU];
                      });
            begin = end;
        }
    }

    const ScoredRows& rows_;
    bool noisy_;
    std::uint32_t cut_;
    std::size_t count_ = 0;
    Items items_;  ///< {key - cut, offset}
};

template <class T>
void make_room(std::vector<T>& values, std::size_t count) {
    values.reserve(count);
    advise_huge_pages(values.data(), count * sizeof(T));
    values.resize(count);
}

/// All ranks' winners as one sorted list, at the root.
void merge_winners(Collective& collective, const Winners& own, Selection& selection) {
    if (collective.size() == 1) {
        make_room(selection.ids, own.size());
        make_room(selection.scores, own.size());
        for (std::size_t place = 0; place < own.size(); ++place) {
            selection.ids[place] = own.id(place);
            selection.scores[place] = own.score(place);
        }
        return;
    }
    std::vector<Winner> outgoing(own.size());
    for (std::size_t place = 0; place < own.size(); ++place) {
        outgoing[place] = {own.id(place), own.score(place), own.key(place)};
    }
    const Gathered<Winner> all = collective.gather_v(std::span<const Winner>(outgoing));
    if (!collective.is_root()) return;
    std::vector<std::span<const Winner>> heads;
    for (int rank = 0; rank < collective.size(); ++rank) {
        if (!all.of(rank).empty()) heads.push_back(all.of(rank));
    }
    selection.ids.reserve(all.values.size());
    selection.scores.reserve(all.values.size());
    const auto later = [](std::span<const Winner> a, std::span<const Winner> b) {
        return a[0].key != b[0].key ? a[0].key < b[0].key : a[0].id > b[0].id;
    };
    std::make_heap(heads.begin(), heads.end(), later);
    while (!heads.empty()) {
        std::pop_heap(heads.begin(), heads.end(), later);
        std::span<const Winner>& best = heads.back();
        selection.ids.push_back(best[0].id);
        selection.scores.push_back(best[0].score);
        best = best.subspan(1);
        if (best.empty()) {
            heads.pop_back();
        } else {
            std::push_heap(heads.begin(), heads.end(), later);
        }
    }
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
