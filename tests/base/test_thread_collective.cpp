#include <stdexcept>
#include <string>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"

using thresher::Collective;
using thresher::run_simulated_ranks;

namespace {

std::string error_of(int ranks, const std::function<void(Collective&)>& body) {
    try {
        run_simulated_ranks(ranks, body);
    } catch (const std::exception& error) {
        return error.what();
    }
    return "none";
}

}  // namespace

TEST_CASE("a simulated rank that throws releases the others and its error is rethrown",
          "[threads]") {
    const auto body = [](Collective& collective) {
        if (collective.rank() == 1) throw std::runtime_error("rank 1 gives up");
        collective.barrier();
        collective.barrier();
    };
    CHECK(error_of(3, body) == "rank 1 gives up");
    CHECK(error_of(7, body) == "rank 1 gives up");
}

TEST_CASE("ranks in different operations are told so instead of hanging", "[threads]") {
    const auto message = error_of(2, [](Collective& collective) {
        std::int64_t value = 0;
        if (collective.rank() == 0) {
            collective.all_reduce_sum(std::span(&value, 1));
        } else {
            collective.all_reduce_max(std::span(&value, 1));
        }
    });
    CHECK(message == "simulated rank 1 is in max (root 0), but rank 0 is in sum of int64 (root 0)");
}

TEST_CASE("spans of different lengths are told instead of read past the end", "[threads]") {
    const auto message = error_of(3, [](Collective& collective) {
        std::vector<double> values(collective.rank() == 2 ? 3 : 4);
        collective.all_reduce_sum(std::span(values));
    });
    CHECK(message == "sum of float64: simulated rank 2 passes a length of 3, rank 0 one of 4");
}

TEST_CASE("a rank that finishes while others wait is told instead of hanging", "[threads]") {
    const auto message = error_of(2, [](Collective& collective) {
        if (collective.rank() == 0) collective.barrier();
    });
    CHECK(message == "a simulated rank has finished while another waits for it");
}

TEST_CASE("no rank at all is refused", "[threads]") {
    CHECK(error_of(0, [](Collective&) {}) == "cannot simulate 0 ranks");
}

TEST_CASE("groups of simulated ranks have a collective of their own", "[threads]") {
    thresher::run_simulated_groups({2, 3, 1}, [](Collective& all, Collective& group) {
        const int size = all.rank() < 2 ? 2 : all.rank() < 5 ? 3 : 1;
        const int first = all.rank() < 2 ? 0 : all.rank() < 5 ? 2 : 5;
        std::int64_t sum = all.rank(), everywhere = 1;
        group.all_reduce_sum(std::span(&sum, 1));
        all.all_reduce_sum(std::span(&everywhere, 1));
        const std::lock_guard lock(thresher::test::assertion_mutex());
        CHECK(all.size() == 6);
        CHECK(group.size() == size);
        CHECK(group.rank() == all.rank() - first);
        CHECK(sum == size * first + size * (size - 1) / 2);
        CHECK(everywhere == 6);
    });
}

TEST_CASE("a simulated rank that throws releases those of other groups", "[threads]") {
    CHECK_THROWS_WITH(thresher::run_simulated_groups({2, 2},
                                                     [](Collective& all, Collective& group) {
                                                         if (all.rank() == 3) {
                                                             throw std::runtime_error("gone");
                                                         }
                                                         while (all.rank() == 2) {
                                                             all.failure_announced();
                                                         }
                                                         group.barrier();
                                                         all.barrier();
                                                     }),
                      "gone");
}
