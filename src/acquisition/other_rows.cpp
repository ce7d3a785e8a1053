// Which rows stand for a pool where every row is compared with others.

#include <algorithm>

#include "src/acquisition/acquisition.hpp"
#include "src/random/permutation.hpp"

namespace thresher {

namespace {

/// `wanted` of `rows` rows, or all of them.
std::vector<std::int64_t> sample_rows(std::int64_t rows, std::int64_t wanted, std::uint64_t seed,
                                      Stream stream) {
    std::vector<std::int64_t> sample(static_cast<std::size_t>(std::min(rows, wanted)));
    if (sample.empty()) return sample;
    const KeyedPermutation permutation(rows, seed, stream, 0);
    for (std::size_t i = 0; i < sample.size(); ++i) {
        sample[i] = rows <= wanted ? static_cast<std::int64_t>(i)
                                   : permutation(static_cast<std::int64_t>(i));
    }
    std::sort(sample.begin(), sample.end());
    return sample;
}

}  // namespace

std::vector<std::int64_t> neighbour_rows(std::int64_t pool_rows, std::uint64_t seed) {
    return sample_rows(pool_rows, kNeighbourRows, seed, Stream::neighbour_sample);
}

std::vector<std::int64_t> target_rows(std::int64_t target_pool_rows, std::uint64_t seed) {
    return sample_rows(target_pool_rows, kTargetRows, seed, Stream::target_sample);
}

}  // namespace thresher
