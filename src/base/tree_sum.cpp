#include "src/base/tree_sum.hpp"

#include <algorithm>
#include <bit>
#include <vector>

#include "src/base/check.hpp"

namespace thresher {

namespace {

/// Where the subtree over the terms [begin, end), end - begin > 1, is cut in two.
std::int64_t cut(std::int64_t begin, std::int64_t end) {
    return begin +
           static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(end - begin - 1)));
}

struct Node {
    std::int64_t begin, end;
};

/// The largest whole subtrees of the tree over `tree` that lie in `part`, in order.
void largest_subtrees(Node tree, Node part, std::vector<Node>& subtrees) {
    if (tree.end <= part.begin || part.end <= tree.begin) return;
    if (part.begin <= tree.begin && tree.end <= part.end) {
        subtrees.push_back(tree);
        return;
    }
    const std::int64_t middle = cut(tree.begin, tree.end);
    largest_subtrees({tree.begin, middle}, part, subtrees);
    largest_subtrees({middle, tree.end}, part, subtrees);
}

/// out[0..width) = the sum over `node`. `leaf(node, out)` fills a node that is known and returns
/// true.
template <class T, class Leaf>
void sum_subtree(Node node, std::size_t width, T* out, const Leaf& leaf) {
    if (leaf(node, out)) return;
    const std::int64_t middle = cut(node.begin, node.end);
    sum_subtree({node.begin, middle}, width, out, leaf);
    std::vector<T> right(width);
    sum_subtree({middle, node.end}, width, right.data(), leaf);
    for (std::size_t i = 0; i < width; ++i) out[i] += right[i];
}

double sum_range(std::span<const double> values) {
    if (values.size() == 1) return values[0];
    const std::size_t middle = std::bit_floor(values.size() - 1);
    return sum_range(values.first(middle)) + sum_range(values.subspan(middle));
}

/// The largest subtrees each rank holds; the same on every rank.
struct Holdings {
    std::vector<std::vector<Node>> subtrees;
};

Holdings exchange_holdings(Collective& collective, std::int64_t terms, std::int64_t first_term,
                           std::size_t own_values, std::size_t length) {
    const std::int64_t own[] = {first_term, static_cast<std::int64_t>(own_values),
                                static_cast<std::int64_t>(length), terms};
    const auto all = collective.all_gather_v(std::span<const std::int64_t>(own));
    Holdings holdings;
    std::int64_t next = 0;
    for (int rank = 0; rank < collective.size(); ++rank) {
        const auto of = all.of(rank);
        THRESHER_CHECK(of[2] == all.values[2] && of[3] == all.values[3],
                       "rank {} sums {} terms of length {}, but rank 0 sums {} of length {}", rank,
                       of[3], of[2], all.values[3], all.values[2]);
        THRESHER_CHECK(of[1] % of[2] == 0, "rank {} holds {} values, no multiple of the length {}",
                       rank, of[1], of[2]);
        const std::int64_t count = of[1] / of[2];
        THRESHER_CHECK(count == 0 || of[0] == next,
                       "rank {} holds terms from {} on, but the next one is {}", rank, of[0], next);
        auto& subtrees = holdings.subtrees.emplace_back();
        if (count > 0) largest_subtrees({0, terms}, {next, next + count}, subtrees);
        next += count;
    }
    THRESHER_CHECK(next == terms, "the ranks hold {} terms together, but {} are to be summed", next,
                   terms);
    return holdings;
}

/// Where the part of a slice that `rank` adds up begins.
std::size_t part_begin(std::size_t width, int rank, int ranks) {
    return width * static_cast<std::size_t>(rank) / static_cast<std::size_t>(ranks);
}

/// The sum over all terms from the sums of the subtrees that the ranks sent, in order, [subtrees,
/// width].
template <class T>
std::vector<T> sum_received(const Holdings& holdings, std::int64_t terms,
                            std::span<const T> received, std::size_t width) {
    std::vector<Node> nodes;
    for (const auto& of_rank : holdings.subtrees) {
        nodes.insert(nodes.end(), of_rank.begin(), of_rank.end());
    }
    std::vector<T> sum(width);
    std::size_t next = 0;
    sum_subtree<T>({0, terms}, width, sum.data(), [&](Node node, T* out) {
        if (nodes[next].begin != node.begin || nodes[next].end != node.end) return false;
        std::copy_n(received.data() + next++ * width, width, out);
        return true;
    });
    return sum;
}

}  // namespace

double tree_sum(std::span<const double> values) { return values.empty() ? 0.0 : sum_range(values); }

template <class T>
void tree_all_reduce(Collective& collective, std::int64_t terms, std::int64_t first_term,
                     std::span<const T> own, std::span<T> result) {
    const std::size_t length = result.size();
    if (length == 0) return;
    const int ranks = collective.size();
    const Holdings holdings = exchange_holdings(collective, terms, first_term, own.size(), length);
    if (terms == 0) {
        std::fill(result.begin(), result.end(), T{0});
        return;
    }
    const auto& subtrees = holdings.subtrees[static_cast<std::size_t>(collective.rank())];
    constexpr std::size_t kSlice = (std::size_t{4} << 20) / sizeof(T);
    for (std::size_t begin = 0; begin < length; begin += kSlice) {
        const std::size_t width = std::min(kSlice, length - begin);
        // Each rank sums its own subtrees, then one part of the slice over all ranks' subtrees.
        std::vector<T> sums(subtrees.size() * width);
        for (std::size_t i = 0; i < subtrees.size(); ++i) {
            sum_subtree<T>(subtrees[i], width, sums.data() + i * width, [&](Node node, T* out) {
                if (node.end - node.begin > 1) return false;
                const auto row = static_cast<std::size_t>(node.begin - first_term);
                std::copy_n(own.data() + row * length + begin, width, out);
                return true;
            });
        }
        std::vector<T> outgoing;
        outgoing.reserve(sums.size());
        std::vector<std::int64_t> counts;
        for (int rank = 0; rank < ranks; ++rank) {
            const auto from = static_cast<std::ptrdiff_t>(part_begin(width, rank, ranks));
            const auto to = static_cast<std::ptrdiff_t>(part_begin(width, rank + 1, ranks));
            for (auto row = sums.begin(); row != sums.end();
                 row += static_cast<std::ptrdiff_t>(width)) {
                outgoing.insert(outgoing.end(), row + from, row + to);
            }
            counts.push_back((to - from) * static_cast<std::int64_t>(subtrees.size()));
        }
        const auto received = collective.all_to_all_v(std::span<const T>(outgoing), counts);
        const std::size_t part = part_begin(width, collective.rank() + 1, ranks) -
                                 part_begin(width, collective.rank(), ranks);
        const auto sum = sum_received<T>(holdings, terms, received.values, part);
        const auto slice = collective.all_gather_v(std::span<const T>(sum));
        std::copy(slice.values.begin(), slice.values.end(),
                  result.begin() + static_cast<std::ptrdiff_t>(begin));
    }
}

template void tree_all_reduce<float>(Collective&, std::int64_t, std::int64_t,
                                     std::span<const float>, std::span<float>);
template void tree_all_reduce<double>(Collective&, std::int64_t, std::int64_t,
                                      std::span<const double>, std::span<double>);

}  // namespace thresher
