#include <cmath>
#include <numeric>
#include <vector>

#include "src/base/tree_sum.hpp"
#include "tests/support/ranks.hpp"

using thresher::Collective;
using thresher::test::on_all_ranks;

namespace {

/// Terms whose sum depends on the order of additions.
template <class T>
T term(std::int64_t shard, std::int64_t element) {
    return static_cast<T>(std::sin(static_cast<double>(shard * 1000 + element)) *
                          std::pow(10.0, static_cast<double>((shard * 7 + element) % 9)));
}

/// The definition, written out: halves of a power of two on the left.
template <class T>
T sum_by_hand(std::int64_t begin, std::int64_t end, std::int64_t element) {
    if (end - begin == 1) return term<T>(begin, element);
    std::int64_t left = 1;
    while (2 * left < end - begin) left *= 2;
    const T a = sum_by_hand<T>(begin, begin + left, element);
    const T b = sum_by_hand<T>(begin + left, end, element);
    return a + b;
}

template <class T>
void check_against_the_definition(Collective& collective, std::int64_t terms, std::int64_t length) {
    const std::int64_t first = terms * collective.rank() / collective.size();
    const std::int64_t last = terms * (collective.rank() + 1) / collective.size();
    std::vector<T> own;
    for (std::int64_t shard = first; shard < last; ++shard) {
        for (std::int64_t i = 0; i < length; ++i) own.push_back(term<T>(shard, i));
    }
    std::vector<T> result(static_cast<std::size_t>(length), T{-1});
    thresher::tree_all_reduce<T>(collective, terms, first, own, result);
    bool same = true;
    for (std::int64_t i = 0; i < length; ++i) {
        const T expected = terms == 0 ? T{0} : sum_by_hand<T>(0, terms, i);
        same = same && result[static_cast<std::size_t>(i)] == expected;
    }
    CHECK_ON_RANK(collective, same);
}

}  // namespace

TEST_CASE("the tree sum of a few values is the sum of the tree written by hand", "[tree]") {
    CHECK(thresher::tree_sum({}) == 0.0);
    const std::vector<double> v{0.1, 1e16, -1e16, 0.3, 0.7, 1e-9};
    CHECK(thresher::tree_sum(std::span(v).first(1)) == v[0]);
    CHECK(thresher::tree_sum(std::span(v).first(3)) == (v[0] + v[1]) + v[2]);
    CHECK(thresher::tree_sum(std::span(v).first(5)) == ((v[0] + v[1]) + (v[2] + v[3])) + v[4]);
    CHECK(thresher::tree_sum(v) == ((v[0] + v[1]) + (v[2] + v[3])) + (v[4] + v[5]));
}

TEST_CASE("the tree sum over ranks has the bits of the definition for every number of ranks",
          "[tree]") {
    on_all_ranks([](Collective& collective) {
        for (std::int64_t terms : {0, 1, 2, 3, 7, 8, 13, 64}) {
            check_against_the_definition<double>(collective, terms, 5);
            check_against_the_definition<float>(collective, terms, 11);
        }
        check_against_the_definition<double>(collective, 4, 1);
    });
}

TEST_CASE("vectors longer than a slice are summed in several", "[tree]") {
    on_all_ranks([](Collective& collective) {
        const std::size_t length = (std::size_t{5} << 20) / sizeof(float);
        const int ranks = collective.size();
        std::vector<float> own(length), result(length);
        for (std::size_t i = 0; i < length; ++i) {
            own[i] = static_cast<float>(i % 1000) + static_cast<float>(collective.rank());
        }
        thresher::tree_all_reduce<float>(collective, ranks, collective.rank(), own, result);
        bool same = true;
        for (std::size_t i = 0; i < length; ++i) {
            const auto expected = static_cast<float>(ranks) * static_cast<float>(i % 1000) +
                                  static_cast<float>(ranks * (ranks - 1) / 2);
            same = same && result[i] == expected;
        }
        CHECK_ON_RANK(collective, same);
    });
}

TEST_CASE("terms that do not make up the whole are refused on every rank", "[tree]") {
    on_all_ranks([](Collective& collective) {
        std::vector<double> own(4), result(2);
        std::string message;
        try {
            thresher::tree_all_reduce<double>(collective, 100, 2 * collective.rank(), own, result);
        } catch (const thresher::Error& error) {
            message = error.what();
        }
        CHECK_ON_RANK(
            collective,
            message == fmt::format("the ranks hold {} terms together, but 100 are to be summed",
                                   2 * collective.size()));
    });
}
