#include "src/selection/unique_ids.hpp"

#include <vector>

#include "src/base/thread_collective.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

TEST_CASE("an id that two ranks hold is found by all") {
    const std::vector<std::vector<std::int64_t>> good{{5, 3, 9}, {}, {100, 4}};
    run_simulated_ranks(3, [&](Collective& collective) {
        check_unique_ids(collective, good[static_cast<std::size_t>(collective.rank())]);
    });
    const std::vector<std::vector<std::int64_t>> twice{{5, 3, 9}, {}, {100, 3}};
    CHECK_THROWS_WITH(
        run_simulated_ranks(3,
                            [&](Collective& collective) {
                                check_unique_ids(
                                    collective, twice[static_cast<std::size_t>(collective.rank())]);
                            }),
        thresher::test::contains("the id 3 occurs more than once"));
    CHECK_THROWS_WITH(run_simulated_ranks(1,
                                          [&](Collective& collective) {
                                              check_unique_ids(collective,
                                                               std::vector<std::int64_t>{-1});
                                          }),
                      thresher::test::contains("the id -1 is negative"));
}
