// Training with actors over MPI: rank 0 learns; of four ranks the first two do.

#include "mpi/collective.hpp"
#include "mpi/messages.hpp"
#include "tests/support/ranks.hpp"
#include "tests/training/actor_ranks.hpp"

using namespace thresher;

namespace {

std::optional<Result> over_mpi(const MemoryPool& pool, const TrainOptions& options,
                               std::int64_t max_staleness, const Run& run = {}) {
    const auto world = mpi::Communicator::world();
    const int learners = world.size() < 4 ? 1 : 2;
    const Topology topology = topology_of(learners, world.size() - learners, max_staleness);
    const auto all = mpi::make_mpi_collective(world.duplicate());
    const auto group = mpi::make_mpi_collective(
        world.split(topology.is_learner(world.rank()) ? 0 : 1, world.rank()));
    const auto messages =
        mpi::make_mpi_messages(world.duplicate(), most_unsent(topology, pool, options));
    const auto pretrained = clean_reference();
    auto result = run_rank(topology, *all, *group, *messages, *pretrained, pool, options, run);
    messages->close();
    return result;
}

}  // namespace

TEST_CASE("actors over MPI leave the bits of co-located training", "[actors]") {
    const MemoryPool pool = noisy_pool(101, 0.3);
    const TrainOptions options = options_for("learnability");
    const auto found = over_mpi(pool, options, 0);
    const Result expected = co_located(pool, options);
    if (found) check_same(*found, expected);
}

TEST_CASE("actors over MPI that are not waited for lose no candidate", "[actors]") {
    const MemoryPool pool = noisy_pool(300, 0.3);
    const auto found = over_mpi(pool, options_for("learnability"), 3);
    if (!found || found->costs.empty()) return;
    CHECK(rows_used(*found) == 2 * 300);
    const auto& staleness = found->steps.at("staleness");
    CHECK(*std::max_element(staleness.begin(), staleness.end()) <= 3.0);
}

TEST_CASE("an actor over MPI that fails ends all ranks with its error", "[actors]") {
    const MemoryPool pool = noisy_pool(300, 0.3);
    const int last = mpi::Communicator::world().size() - 1;
    Run run;
    run.source_of = [&](int rank, std::unique_ptr<ExampleSource> source) {
        if (rank != last) return source;
        return std::unique_ptr<ExampleSource>(std::make_unique<BrokenSource>(std::move(source)));
    };
    CHECK_THROWS_WITH(over_mpi(pool, options_for("learnability"), 1, run),
                      fmt::format("toy.h5 is truncated (on rank {} of {})", last, last + 1));
}
