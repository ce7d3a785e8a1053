#include "src/selection/winners.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "src/base/huge_pages.hpp"
#include "src/base/thread_team.hpp"
#include "src/selection/ordered_key.hpp"

namespace thresher {

namespace {

/// A chosen row on its way to the root.
struct Winner {
    std::int64_t id;
    float score;
    std::uint32_t key;
};

using List = std::span<const Winner>;  ///< best first

/// Calls put(winner) for the winners of both lists in order. Branches only on which list is used
/// up: which has the better head cannot be predicted.
template <class Put>
void merge_two(List a, List b, const Put& put) {
    std::size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
        const bool first = a[i].key > b[j].key || (a[i].key == b[j].key && a[i].id < b[j].id);
        put(first ? a[i] : b[j]);
        i += first ? 1 : 0;
        j += first ? 0 : 1;
    }
    for (const Winner& winner : a.subspan(i)) put(winner);
    for (const Winner& winner : b.subspan(j)) put(winner);
}

/// The ranks' lists that are not empty. Winners are plain bytes, and the vector's are aligned.
std::vector<List> lists_of(const Gathered<std::byte>& all) {
    const auto* begin = reinterpret_cast<const Winner*>(all.values.data());
    std::vector<List> lists;
    for (const std::int64_t size_bytes : all.counts) {
        const std::size_t count = static_cast<std::size_t>(size_bytes) / sizeof(Winner);
        if (count > 0) lists.emplace_back(begin, count);
        begin += count;
    }
    return lists;
}

/// Neighbours are merged until two lists are left, which become the batch.
void merge_lists(Gathered<std::byte> all, Selection& selection) {
    const std::size_t total = all.values.size() / sizeof(Winner);
    std::vector<List> lists = lists_of(all);
    std::vector<Winner> from, to;
    while (lists.size() > 2) {
        if (to.empty()) resize_on_huge_pages(to, total);
        Winner* out = to.data();
        std::vector<List> merged;
        for (std::size_t i = 0; i < lists.size(); i += 2) {
            const Winner* const begin = out;
            merge_two(lists[i], i + 1 < lists.size() ? lists[i + 1] : List(),
                      [&](const Winner& winner) { *out++ = winner; });
            merged.emplace_back(begin, out);
        }
        lists = std::move(merged);
        from.swap(to);
        all = {};
    }
    lists.resize(2);
    resize_on_huge_pages(selection.ids, total);
    resize_on_huge_pages(selection.scores, total);
    std::size_t place = 0;
    merge_two(lists[0], lists[1], [&](const Winner& winner) {
        selection.ids[place] = winner.id;
        selection.scores[place++] = winner.score;
    });
}

/// Sorts items, which are in order of their lower halves, by the lowest `bits` of their upper ones.
/// They end in `items` or in `scratch`, which has room for as many. A radix sort, the least digit
/// first.
std::span<std::uint64_t> sort_items(std::span<std::uint64_t> items, int bits,
                                    std::uint64_t* scratch) {
    constexpr std::size_t kSmall = 64;
    constexpr int kDigitBits = 7;
    constexpr std::size_t kValues = std::size_t{1} << kDigitBits;
    static_assert(32 - KeyInterval::kDigitBits <= 3 * kDigitBits);
    const int digits = (bits + kDigitBits - 1) / kDigitBits;
    if (digits == 0) return items;
    if (items.size() < kSmall) {
        std::sort(items.begin(), items.end());
        return items;
    }
    std::array<std::array<std::uint32_t, kValues>, 3> places{};
    for (const std::uint64_t item : items) {
        ++places[0][(item >> 32) % kValues];
        ++places[1][(item >> (32 + kDigitBits)) % kValues];
        if (digits == 3) ++places[2][(item >> (32 + 2 * kDigitBits)) % kValues];
    }
    std::uint64_t* from = items.data();
    std::uint64_t* to = scratch;
    for (int digit = 0; digit < digits; ++digit) {
        auto& place = places[static_cast<std::size_t>(digit)];
        const int shift = 32 + digit * kDigitBits;
        if (place[(from[0] >> shift) % kValues] == items.size()) continue;  // all the same
        std::uint32_t count = 0;
        for (std::uint32_t& next : place) count += std::exchange(next, count);
        for (std::size_t i = 0; i < items.size(); ++i) {
            to[place[(from[i] >> shift) % kValues]++] = from[i];
        }
        std::swap(from, to);
    }
    return {from, items.size()};
}

/// This rank's part of the batch.
class Winners {
  public:
    Winners(const ScoredRows& rows, bool noisy, Candidates candidates, const Threshold& cut,
            std::int64_t id_cut)
        : rows_(rows), noisy_(noisy), range_(cut.range) {
        distribute(std::move(candidates), cut, id_cut);
    }

    std::size_t size() const { return ids_.size(); }

    /// Calls use(place, id, score, key) for each, place 0 being the best, from any thread; this is
    /// used up.
    template <class Use>
    void for_each(const Use& use);

    /// Writes the ids and scores of all, best first; this is used up.
    void give(Selection& selection) &&;

  private:
    /// {~(key - lowest), offset} of each, so that the best is the least; where its id will be.
    std::uint64_t* items() { return reinterpret_cast<std::uint64_t*>(ids_.data()); }

    /// Moves those that win among the candidates to the parts of `items` that belong to their first
    /// digits.
    void distribute(Candidates candidates, const Threshold& cut, std::int64_t id_cut);
    /// As for_each, for the parts [first, last).
    template <class Use>
    void use_parts(std::size_t first, std::size_t last, const Use& use);
    void sort_ties_by_id(std::span<std::uint64_t> items) const;

    const ScoredRows& rows_;
    bool noisy_;
    KeyInterval range_;
    std::vector<std::uint32_t> ends_;  ///< of the parts, the highest first digit first
    std::vector<std::int64_t> ids_;
};

void Winners::distribute(Candidates candidates, const Threshold& cut, std::int64_t id_cut) {
    // 1 or 0; the borrow of a subtraction, as a comparison would become a branch.
    const auto wins = [&](std::uint32_t key, std::uint32_t offset) {
        auto one = static_cast<std::uint32_t>((std::uint64_t{cut.key} - key) >> 63);
        if (key == cut.key) one = rows_.id(offset) <= id_cut ? 1 : 0;
        return one;
    };
    std::vector<std::uint32_t> places(cut.own_counts.size());
    const std::uint32_t cut_digit = range_.digit_of(cut.key);
    std::int64_t room = 0;
    for (std::size_t digit = places.size(); digit-- > cut_digit;) {
        places[digit] = static_cast<std::uint32_t>(room);
        room += cut.own_counts[digit];
    }
    room = std::min(room, cut.k);  // of the last digit not all win
    resize_on_huge_pages(ids_, static_cast<std::size_t>(room) + 1);
    const auto elsewhere = static_cast<std::uint32_t>(room);
    // Whether a candidate wins cannot be predicted, so all are moved, the others to one place
    // behind all.
    std::uint64_t* const to = items();
    for (const Piece& piece : candidates.pieces) {
        for (std::size_t i = 0; i < piece.keys.size(); ++i) {
            const std::uint32_t key = piece.keys[i], offset = piece.offsets[i];
            const std::uint32_t one = wins(key, offset);
            std::uint32_t& place = places[range_.digit_of(key)];
            to[elsewhere - one * (elsewhere - place)] =
                (std::uint64_t{~(key - range_.lowest)} << 32) | offset;
            place += one;
        }
    }
    candidates = {};  // before sorting takes memory
    for (std::size_t digit = places.size(); digit-- > cut_digit;) ends_.push_back(places[digit]);
    ids_.resize(ends_.back());
}

/// Items of equal keys are in the order of rows, not of ids.
void Winners::sort_ties_by_id(std::span<std::uint64_t> items) const {
    for (std::size_t begin = 0; begin < items.size();) {
        std::size_t end = begin + 1;
        while (end < items.size() && items[end] >> 32 == items[begin] >> 32) ++end;
        const std::span tied = items.subspan(begin, end - begin);
        std::sort(tied.begin(), tied.end(), [&](std::uint64_t a, std::uint64_t b) {
            return rows_.ids[a & 0xffffffffU] < rows_.ids[b & 0xffffffffU];
        });
        begin = end;
    }
}

template <class Use>
void Winners::for_each(const Use& use) {
    constexpr std::int64_t kAtOnce = std::int64_t{1} << 16;
    const std::int64_t parts = std::ssize(ends_);
    parallel_for(parts, 1 + parts * kAtOnce / (1 + std::ssize(ids_)),
                 [&](std::int64_t first, std::int64_t last) {
                     use_parts(static_cast<std::size_t>(first), static_cast<std::size_t>(last),
                               use);
                 });
}

template <class Use>
void Winners::use_parts(std::size_t first, std::size_t last, const Use& use) {
    const auto begin_of = [&](std::size_t part) { return part == 0 ? 0 : ends_[part - 1]; };
    std::uint32_t largest = 0;
    for (std::size_t part = first; part < last; ++part) {
        largest = std::max(largest, ends_[part] - begin_of(part));
    }
    const auto scratch = make_huge_buffer<std::uint64_t>(largest);
    for (std::size_t part = first; part < last; ++part) {
        const std::uint32_t begin = begin_of(part);
        const std::span<std::uint64_t> sorted =
            sort_items({items() + begin, ends_[part] - begin}, range_.shift(), scratch.get());
        if (!rows_.ids.empty()) sort_ties_by_id(sorted);
        for (std::size_t i = 0; i < sorted.size(); ++i) {
            const std::size_t offset = sorted[i] & 0xffffffffU;
            const std::uint32_t key = range_.lowest + ~static_cast<std::uint32_t>(sorted[i] >> 32);
            // A key of top-k is the score itself: no need to fetch it from among all scores.
            const float score = noisy_ ? rows_.scores[offset] : from_ordered_key(key);
            use(begin + i, rows_.id(offset), score, key);
        }
    }
}

void Winners::give(Selection& selection) && {
    resize_on_huge_pages(selection.scores, size());
    for_each([&](std::size_t place, std::int64_t id, float score, std::uint32_t) {
        selection.scores[place] = score;
        ids_[place] = id;  // where an item was that has been read
    });
    selection.ids = std::move(ids_);
}

/// In order; `own` is used up.
std::vector<Winner> pack(Winners own) {
    std::vector<Winner> packed;
    resize_on_huge_pages(packed, own.size());
    own.for_each([&](std::size_t place, std::int64_t id, float score, std::uint32_t key) {
        packed[place] = {id, score, key};
    });
    return packed;
}

}  // namespace

void gather_winners(Collective& collective, const ScoredRows& rows, bool noisy,
                    Candidates candidates, const Threshold& cut, std::int64_t id_cut,
                    Selection& selection) {
    Winners own(rows, noisy, std::move(candidates), cut, id_cut);
    if (collective.size() == 1) return std::move(own).give(selection);
    std::vector<Winner> outgoing = pack(std::move(own));
    Gathered<std::byte> all = collective.gather_v(std::as_bytes(std::span(outgoing)));
    outgoing = {};
    if (collective.is_root()) merge_lists(std::move(all), selection);
}

}  // namespace thresher
