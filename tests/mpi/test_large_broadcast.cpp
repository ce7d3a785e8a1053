#include <vector>

#include "mpi/collective.hpp"
#include "tests/support/catch.hpp"

TEST_CASE("a broadcast of more than 2^31 bytes arrives whole", "[large]") {
    const auto collective =
        thresher::mpi::make_mpi_collective(thresher::mpi::Communicator::world());
    const std::size_t count = ((std::size_t{1} << 31) + 4096) / sizeof(std::uint64_t);
    std::vector<std::uint64_t> values(count, 0);
    if (collective->is_root()) {
        for (std::size_t i = 0; i < count; ++i) values[i] = i * 0x9E3779B97F4A7C15U;
    }
    collective->broadcast(std::span(values));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < count; ++i) wrong += values[i] == i * 0x9E3779B97F4A7C15U ? 0U : 1U;
    CHECK(wrong == 0);
}
