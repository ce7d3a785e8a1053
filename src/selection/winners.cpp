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

using Items = HugeBuffer<std::uint64_t>;

/// Sorts `count` items by their upper halves, of which the lowest `bits` bits differ, descending;
/// equal ones stay in order. Least significant digit first, all digits counted in one pass.
/// `buffer` has room for as many.
Items sort_by_upper_half(Items items, Items buffer, std::size_t count, int bits) {
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

template <class T>
void make_room(std::vector<T>& values, std::size_t count) {
    values.reserve(count);
    advise_huge_pages(values.data(), count * sizeof(T));
    values.resize(count);
}

/// Branches only on which list is used up: which has the better head cannot be predicted.
void merge_two(std::span<const Winner> a, std::span<const Winner> b, Winner* out) {
    std::size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
        const bool first = a[i].key > b[j].key || (a[i].key == b[j].key && a[i].id < b[j].id);
        *out++ = first ? a[i] : b[j];
        i += first ? 1 : 0;
        j += first ? 0 : 1;
    }
    out = std::copy(a.begin() + static_cast<std::ptrdiff_t>(i), a.end(), out);
    std::copy(b.begin() + static_cast<std::ptrdiff_t>(j), b.end(), out);
}

/// All ranks' sorted lists as one: neighbours are merged until one is left.
std::vector<Winner> merge_sorted(Gathered<Winner> all) {
    std::vector<std::size_t> begins{0};
    for (const std::int64_t count : all.counts) {
        if (count > 0) begins.push_back(begins.back() + static_cast<std::size_t>(count));
    }
    std::vector<Winner> from = std::move(all.values), to(from.size());
    while (begins.size() > 2) {
        std::vector<std::size_t> next{0};
        for (std::size_t list = 0; list + 1 < begins.size(); list += 2) {
            const std::size_t begin = begins[list], middle = begins[list + 1];
            const std::size_t end = list + 2 < begins.size() ? begins[list + 2] : middle;
            merge_two(std::span(from).subspan(begin, middle - begin),
                      std::span(from).subspan(middle, end - middle), to.data() + begin);
            next.push_back(end);
        }
        from.swap(to);
        begins = std::move(next);
    }
    return from;
}

}  // namespace

Winners::Winners(const ScoredRows& rows, bool noisy, Candidates candidates, std::uint32_t cut,
                 std::int64_t id_cut, std::int64_t limit)
    : rows_(rows), noisy_(noisy), cut_(cut) {
    const auto capacity = static_cast<std::size_t>(std::min(limit, candidates.count()));
    // One more: each candidate is written, and overwritten by the next unless it wins.
    Items items = make_huge_buffer<std::uint64_t>(capacity + 1);
    std::uint32_t largest = cut;
    std::size_t count = 0;
    for (const Piece& piece : candidates.pieces) {
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
    items_ = sort_by_upper_half(std::move(items), std::move(*candidates.store).give_up(count),
                                count, static_cast<int>(std::bit_width(largest - cut)));
    if (!rows.ids.empty()) sort_ties_by_id();
}

/// Rows with equal keys are in the order of rows, not of ids.
void Winners::sort_ties_by_id() {
    for (std::size_t begin = 0; begin < count_;) {
        std::size_t end = begin + 1;
        while (end < count_ && key(end) == key(begin)) ++end;
        std::sort(items_.get() + begin, items_.get() + end, [&](std::uint64_t a, std::uint64_t b) {
            return rows_.ids[a & 0xffffffffU] < rows_.ids[b & 0xffffffffU];
        });
        begin = end;
    }
}

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
    Gathered<Winner> all = collective.gather_v(std::span<const Winner>(outgoing));
    if (!collective.is_root()) return;
    std::vector<Winner> merged = merge_sorted(std::move(all));
    make_room(selection.ids, merged.size());
    make_room(selection.scores, merged.size());
    for (std::size_t place = 0; place < merged.size(); ++place) {
        selection.ids[place] = merged[place].id;
        selection.scores[place] = merged[place].score;
    }
}

}  // namespace thresher
