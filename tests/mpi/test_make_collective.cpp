#include <string>

#include "mpi/cuda_backend.hpp"
#include "src/base/check.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using mpi::Communicator;
using mpi::make_collective;

namespace {

std::string usage_error_of(const std::string& name, int device) {
    try {
        make_collective(name, Communicator::world(), device);
    } catch (const UsageError& error) {
        return error.what();
    }
    return "none";
}

}  // namespace

TEST_CASE("on the CPU, auto and mpi both give MPI, with nothing counted yet", "[make]") {
    for (const char* name : {"auto", "mpi"}) {
        const auto collective = make_collective(name, Communicator::world(), -1);
        CHECK(collective->backend() == "mpi");
        CHECK(collective->size() == Communicator::world().size());
        CHECK(collective->traffic().collectives == 0);
    }
}

TEST_CASE("an unknown collective is refused with the known ones", "[make]") {
    CHECK(usage_error_of("gloo", -1)
              .find("--collective \"gloo\" is unknown; allowed: auto, mpi, nccl") == 0);
}

TEST_CASE("nccl without a GPU is refused with the reason", "[make]") {
    const auto on_cpu = usage_error_of("nccl", -1);
    INFO(on_cpu);
    CHECK(on_cpu.find(
              "--collective nccl is not possible: this rank computes on the CPU (--device); use "
              "--collective auto or mpi") == 0);

    std::string why_not;
    if (mpi::cuda_backend_available(&why_not)) {
        CHECK(usage_error_of("nccl", 1'000'000).find("there is no GPU 1000000") !=
              std::string::npos);
        return;
    }
    CHECK(!why_not.empty());
    CHECK(usage_error_of("nccl", 0).find("--collective nccl is not possible: " + why_not) == 0);
    CHECK(make_collective("auto", Communicator::world(), 0)->backend() == "mpi");
}
