// A program that ends in the way its argument says; tests/mpi/CMakeLists.txt checks what it prints
// and returns under mpirun.

#include <iostream>
#include <string>

#include "mpi/cuda_backend.hpp"
#include "mpi/environment.hpp"
#include "mpi/watchdog.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

using namespace thresher;

namespace {

int end(const std::string& how, const mpi::Communicator& world) {
    const auto collective = mpi::make_collective(how == "nccl" ? "nccl" : "mpi", world.duplicate(),
                                                 how == "nccl" ? 0 : -1);
    const bool last = collective->rank() == collective->size() - 1;
    if (how == "alone") {
        if (last) fail<FileError>("pool.h5 is truncated");
        collective->barrier();
    } else if (how == "agreed") {
        agree(*collective, [&] {
            if (last) fail<UsageError>("-k is 0; allowed: 1 and more");
        });
    } else if (how == "each") {
        fail<Error>("rank {} has its own error", collective->rank());
    } else if (how == "requeue") {
        fail<Requeue>("checkpointed after a stop signal; submit again with --resume");
    } else if (how == "leak") {
        static_cast<void>(new mpi::Communicator(world.duplicate()));
    } else if (how == "hang") {
        mpi::Watchdog watchdog(collective->rank(), 0.2);
        collective->observe(&watchdog);
        collective->barrier();
        std::int64_t value = 0;
        if (!last) collective->all_reduce_sum(std::span(&value, 1));
        // The last rank goes to the exit, where it waits for the others.
        collective->observe(nullptr);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    mpi::Environment environment(argc, argv);
    const auto world = mpi::Communicator::world();
    const std::string how = argc > 1 ? argv[1] : "well";
    if (how == "unwinding") fail<Error>("this exception leaves main");
    return mpi::run_to_the_end_together(
        world, [&] { return end(how, world); },
        [](const std::string& message) { std::cerr << "error: " + message + "\n"
                                                   << std::flush; },
        0.5);
}
