// Messages longer than MPI's int travel in slices. The limit is lowered here, so that short
// messages take the same way; test_large_broadcast.cpp takes it with a message that needs it.

#include <numeric>
#include <vector>

#include "mpi/collective.hpp"
#include "src/base/check.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;

namespace {

std::unique_ptr<Collective> sliced() {
    return mpi::make_mpi_collective(mpi::Communicator::world(), 16);
}

std::vector<std::int64_t> part_of(int rank) {
    std::vector<std::int64_t> values(static_cast<std::size_t>(7 * rank + 1));
    std::iota(values.begin(), values.end(), 1000 * rank);
    return values;
}

std::vector<std::int64_t> all_parts(int ranks) {
    std::vector<std::int64_t> all;
    for (int rank = 0; rank < ranks; ++rank) {
        const auto part = part_of(rank);
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

}  // namespace

TEST_CASE("a sum in slices is the sum", "[slices]") {
    const auto collective = sliced();
    std::vector<std::int64_t> values(101);
    std::iota(values.begin(), values.end(), 0);
    std::vector<float> floats(33, 0.5F);
    collective->all_reduce_sum(std::span(values));
    collective->all_reduce_sum(std::span(floats));
    for (std::size_t i = 0; i < values.size(); ++i) {
        CHECK(values[i] == static_cast<std::int64_t>(i) * collective->size());
    }
    CHECK(floats == std::vector<float>(33, 0.5F * static_cast<float>(collective->size())));
}

TEST_CASE("a broadcast in slices arrives whole", "[slices]") {
    const auto collective = sliced();
    const int root = collective->size() - 1;
    std::vector<char> bytes(1003, static_cast<char>(collective->rank()));
    if (collective->rank() == root) std::iota(bytes.begin(), bytes.end(), '\0');
    collective->broadcast(std::span(bytes), root);
    std::vector<char> expected(1003);
    std::iota(expected.begin(), expected.end(), '\0');
    CHECK(bytes == expected);
}

TEST_CASE("gathers in slices keep the order of ranks", "[slices]") {
    const auto collective = sliced();
    const auto own = part_of(collective->rank());
    const auto everywhere = collective->all_gather_v(std::span<const std::int64_t>(own));
    CHECK(everywhere.values == all_parts(collective->size()));
    const int root = collective->size() / 2;
    const auto at_root = collective->gather_v(std::span<const std::int64_t>(own), root);
    if (collective->rank() == root) {
        CHECK(at_root.values == all_parts(collective->size()));
    } else {
        CHECK(at_root.values.empty());
    }
}

TEST_CASE("all-to-all in slices delivers what was meant for each rank", "[slices]") {
    const auto collective = sliced();
    const int own = collective->rank();
    std::vector<std::int64_t> outgoing, counts, expected;
    for (int other = 0; other < collective->size(); ++other) {
        const int count = 5 * ((own + other) % 3);
        counts.push_back(count);
        for (int i = 0; i < count; ++i) {
            outgoing.push_back(10'000 * own + 100 * other + i);
            expected.push_back(10'000 * other + 100 * own + i);
        }
    }
    const auto received = collective->all_to_all_v(std::span<const std::int64_t>(outgoing), counts);
    CHECK(received.values == expected);
    CHECK(received.counts == counts);
}

TEST_CASE("a slice too small for one number, or too large for MPI, is refused", "[slices]") {
    CHECK_THROWS_WITH(mpi::make_mpi_collective(mpi::Communicator::world(), 7),
                      "MPI messages in slices of 7 bytes; allowed: 8 to 2^31 - 8");
    CHECK_THROWS_AS(mpi::make_mpi_collective(mpi::Communicator::world(), std::size_t{1} << 31),
                    Error);
}
