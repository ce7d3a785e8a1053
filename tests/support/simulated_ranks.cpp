#include "src/base/thread_collective.hpp"
#include "tests/support/ranks.hpp"

namespace thresher::test {

void on_all_ranks(const std::function<void(Collective&)>& body) {
    const auto local = make_local_collective();
    body(*local);
    for (int ranks : {1, 2, 3, 4, 7}) run_simulated_ranks(ranks, body);
}

}  // namespace thresher::test
