#include "src/selection/winners.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "src/base/huge_pages.hpp"

namespace thresher {

namespace {

/// A chosen row on its way to the root.
struct Winner {
    std::int64_t id;
    float score;
    std::uint32_t key;
};

/// In order; `own` is used up.
std::vector<Winner> pack(Winners own) {
    std::vector<Winner> packed;
    resize_on_huge_pages(packed, own.size());
    for (std::size_t place = 0; place < own.size(); ++place) {
        packed[place] = {own.id(place), own.score(place), own.key(place)};
    }
    return packed;
}

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

}  // namespace

Winners::Winners(const ScoredRows& rows, bool noisy, Candidates candidates, const Threshold& cut,
                 std::int64_t id_cut)
    : rows_(rows), noisy_(noisy), cut_(cut.key) {
    sort(std::move(candidates), cut, id_cut);
    if (!rows.ids.empty()) sort_ties_by_id();
}

/// By key, descending; equal ones stay in order. A radix sort by bytes, the least significant
/// first, all counted in one pass. Whether a candidate wins cannot be predicted, so all are counted
/// and moved, the others by nothing and to one place behind all.
void Winners::sort(Candidates candidates, const Threshold& cut, std::int64_t id_cut) {
    const int bits = static_cast<int>(std::bit_width(cut.largest - cut.key));
    const int digits = std::max(1, (bits + 7) / 8);
    // 1 or 0; the borrow of a subtraction, as a comparison would become a branch.
    const auto wins = [&](std::uint32_t key, std::uint32_t offset) {
        auto one = static_cast<std::uint32_t>((std::uint64_t{cut.key} - key) >> 63);
        if (key == cut.key) one = rows_.id(offset) <= id_cut ? 1 : 0;
        return one;
    };

    std::array<std::array<std::uint32_t, 256>, 4> places{};  // of each digit's values
    for (const Piece& piece : candidates.pieces) {
        for (std::size_t i = 0; i < piece.keys.size(); ++i) {
            const std::uint32_t one = wins(piece.keys[i], piece.offsets[i]);
            const std::uint32_t rest = piece.keys[i] - cut.key;
            places[0][rest & 255] += one;
            places[1][(rest >> 8) & 255] += one;
            places[2][(rest >> 16) & 255] += one;
            if (digits == 4) places[3][rest >> 24] += one;
        }
    }
    std::uint32_t count = 0;
    for (auto& place : std::span(places).first(static_cast<std::size_t>(digits))) {
        count = 0;
        for (std::size_t value = place.size(); value-- > 0;) {
            count += std::exchange(place[value], count);
        }
    }

    resize_on_huge_pages(ids_, std::size_t{count} + 1);
    std::uint64_t* from = reinterpret_cast<std::uint64_t*>(ids_.data());
    for (const Piece& piece : candidates.pieces) {
        for (std::size_t i = 0; i < piece.keys.size(); ++i) {
            const std::uint32_t offset = piece.offsets[i];
            const std::uint32_t one = wins(piece.keys[i], offset);
            const std::uint32_t rest = piece.keys[i] - cut.key;
            std::uint32_t& place = places[0][rest & 255];
            from[count - one * (count - place)] = (std::uint64_t{rest} << 32) | offset;
            place += one;
        }
    }
    ids_.resize(count);
    if (digits > 1) buffer_ = std::move(*candidates.store).give_up(count);
    std::uint64_t* to = buffer_.get();
    for (int digit = 1; digit < digits; ++digit) {
        auto& place = places[static_cast<std::size_t>(digit)];
        const int shift = 32 + 8 * digit;
        for (std::size_t i = 0; i < count; ++i) {
            to[place[(from[i] >> shift) & 255]++] = from[i];
        }
        std::swap(from, to);
    }
    items_ = from;
}

/// Rows with equal keys are in the order of rows, not of ids.
void Winners::sort_ties_by_id() {
    for (std::size_t begin = 0; begin < size();) {
        std::size_t end = begin + 1;
        while (end < size() && key(end) == key(begin)) ++end;
        std::sort(items_ + begin, items_ + end, [&](std::uint64_t a, std::uint64_t b) {
            return rows_.ids[a & 0xffffffffU] < rows_.ids[b & 0xffffffffU];
        });
        begin = end;
    }
}

void Winners::give(Selection& selection) && {
    resize_on_huge_pages(selection.scores, size());
    for (std::size_t place = 0; place < size(); ++place) {
        selection.scores[place] = score(place);
        ids_[place] = id(place);  // may be where its item was
    }
    selection.ids = std::move(ids_);
}

void merge_winners(Collective& collective, Winners own, Selection& selection) {
    if (collective.size() == 1) {
        std::move(own).give(selection);
        return;
    }
    std::vector<Winner> outgoing = pack(std::move(own));
    Gathered<std::byte> all = collective.gather_v(std::as_bytes(std::span(outgoing)));
    outgoing = {};
    if (collective.is_root()) merge_lists(std::move(all), selection);
}

}  // namespace thresher
