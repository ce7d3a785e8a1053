#include <utility>

#include "mpi/checked.hpp"
#include "mpi/communicator.hpp"
#include "src/base/check.hpp"
#include "tests/support/catch.hpp"

using thresher::mpi::Communicator;

namespace {

int sum_over(const Communicator& communicator, int value) {
    THRESHER_MPI(MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT, MPI_SUM, communicator.raw()));
    return value;
}

}  // namespace

TEST_CASE("a split groups the ranks by color in the order of key", "[communicator]") {
    const auto world = Communicator::world();
    const int color = world.rank() % 2;
    const auto half = world.split(color, -world.rank());
    const int members = (world.size() + 1 - color) / 2;
    CHECK(half.size() == members);
    // Keys run backwards, so the highest rank of the world comes first.
    CHECK(half.rank() == members - 1 - world.rank() / 2);
    CHECK(sum_over(half, 1) == members);
}

TEST_CASE("ranks of this test share one node", "[communicator]") {
    const auto world = Communicator::world();
    const auto node = world.split_node_local();
    CHECK(node.size() == world.size());
    CHECK(node.rank() == world.rank());
}

TEST_CASE("a moved communicator goes on working and a duplicate lives by itself",
          "[communicator]") {
    auto world = Communicator::world();
    auto copy = world.duplicate();
    CHECK(copy.raw() != world.raw());
    Communicator moved(std::move(world));
    CHECK(sum_over(moved, 1) == moved.size());
    moved = std::move(copy);
    CHECK(sum_over(moved, 2) == 2 * moved.size());
}

TEST_CASE("a negative color is refused", "[communicator]") {
    CHECK_THROWS_WITH(Communicator::world().split(-1, 0),
                      "a communicator cannot be split by the color -1; allowed: 0 and more");
}

TEST_CASE("a failing MPI call is named together with what MPI says", "[communicator]") {
    const auto world = Communicator::world();
    std::string message;
    try {
        int value = 0;
        THRESHER_MPI(MPI_Send(&value, 1, MPI_INT, world.size() + 5, 0, world.raw()));
    } catch (const thresher::Error& error) {
        message = error.what();
    }
    INFO(message);
    CHECK(message.find("MPI_Send failed: ") == 0);
    CHECK(message.find("invalid rank") != std::string::npos);
}
