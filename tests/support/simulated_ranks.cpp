#include "src/base/thread_collective.hpp"
#include "src/base/thread_messages.hpp"
#include "tests/support/ranks.hpp"

namespace thresher::test {

void on_all_ranks(const std::function<void(Collective&)>& body) {
    const auto local = make_local_collective();
    body(*local);
    for (int ranks : {1, 2, 3, 4, 7}) run_simulated_ranks(ranks, body);
}

void on_all_messages(std::int64_t most_unsent,
                     const std::function<void(Messages&, Collective&)>& body) {
    for (const int ranks : {1, 2, 3, 4, 7}) {
        const auto messages = make_thread_messages(ranks, most_unsent);
        run_simulated_ranks(ranks, [&](Collective& collective) {
            Messages& own = *messages[static_cast<std::size_t>(collective.rank())];
            body(own, collective);
            own.close();
        });
    }
}

}  // namespace thresher::test
