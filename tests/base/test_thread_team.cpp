#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/base/thread_team.hpp"
#include "tests/support/catch.hpp"

using thresher::parallel_for;
using thresher::use_threads;

namespace {

using Pieces = std::set<std::pair<std::int64_t, std::int64_t>>;

Pieces pieces_of(std::int64_t n, std::int64_t grain) {
    Pieces pieces;
    std::mutex mutex;
    parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
        const std::lock_guard lock(mutex);
        const bool is_new = pieces.emplace(begin, end).second;
        THRESHER_CHECK(is_new, "the piece at {} came twice", begin);
    });
    return pieces;
}

}  // namespace

TEST_CASE("a loop is cut into the same pieces for every number of threads", "[team]") {
    for (int threads : {1, 2, 3, 8, 1}) {
        use_threads(threads);
        CHECK(thresher::threads_in_use() == threads);
        CHECK(pieces_of(10, 4) == Pieces{{0, 4}, {4, 8}, {8, 10}});
        CHECK(pieces_of(4, 100) == Pieces{{0, 4}});
        CHECK(pieces_of(0, 1).empty());
    }
}

TEST_CASE("every item of many loops is visited once", "[team]") {
    use_threads(4);
    for (int repeat = 0; repeat < 200; ++repeat) {
        std::vector<int> visits(1000, 0);
        parallel_for(1000, 7, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        });
        REQUIRE(visits == std::vector<int>(1000, 1));
    }
}

TEST_CASE("an exception in a piece is rethrown and the team goes on working", "[team]") {
    use_threads(3);
    const auto throwing = [](std::int64_t begin, std::int64_t) {
        if (begin == 40) throw std::runtime_error("item 40 is bad");
    };
    CHECK_THROWS_WITH(parallel_for(100, 10, throwing), "item 40 is bad");
    CHECK(pieces_of(20, 10).size() == 2);
    use_threads(1);
    CHECK_THROWS_WITH(parallel_for(100, 10, throwing), "item 40 is bad");
}

TEST_CASE("a loop inside a loop runs in the calling thread", "[team]") {
    use_threads(4);
    std::atomic<std::int64_t> sum{0};
    std::atomic<bool> moved{false};
    parallel_for(8, 1, [&](std::int64_t outer, std::int64_t) {
        const auto caller = std::this_thread::get_id();
        parallel_for(8, 1, [&](std::int64_t inner, std::int64_t) {
            if (std::this_thread::get_id() != caller) moved = true;
            sum += 8 * outer + inner;
        });
    });
    CHECK(sum == 63 * 64 / 2);
    CHECK(!moved);
}

TEST_CASE("several threads may start loops at the same time", "[team]") {
    use_threads(3);
    std::atomic<std::int64_t> sum{0};
    thresher::run_simulated_ranks(4, [&](thresher::Collective&) {
        for (int repeat = 0; repeat < 50; ++repeat) {
            parallel_for(100, 9, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
        }
    });
    CHECK(sum == 4 * 50 * 100);
    use_threads(1);
}

TEST_CASE("less than one thread is refused", "[team]") {
    CHECK_THROWS_WITH(use_threads(0), "a rank cannot use 0 threads; allowed: 1 and more");
}
