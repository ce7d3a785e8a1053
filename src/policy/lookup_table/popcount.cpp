#include "src/policy/lookup_table/popcount.hpp"

#include <bit>

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/policy/lookup_table/popcount.cpp"
#include "src/acquisition/targets.hpp"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void count(const std::uint64_t* HWY_RESTRICT records, std::size_t record_count,
           const std::uint64_t* HWY_RESTRICT queries, std::size_t words,
           std::int32_t* HWY_RESTRICT distances) {
    const hn::ScalableTag<std::uint64_t> d;
    const std::size_t lanes = hn::Lanes(d);
    for (std::size_t r = 0; r < record_count; ++r) {
        const std::uint64_t* HWY_RESTRICT record = records + r * words;
        auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
        std::size_t w = 0;
        for (; w + lanes <= words; w += lanes) {
            const auto bits = hn::LoadU(d, record + w);
            const auto differing = [&](std::size_t q) {
                return hn::PopulationCount(hn::Xor(bits, hn::LoadU(d, queries + q * words + w)));
            };
            sum0 = hn::Add(sum0, differing(0));
            sum1 = hn::Add(sum1, differing(1));
            sum2 = hn::Add(sum2, differing(2));
            sum3 = hn::Add(sum3, differing(3));
        }
        std::uint64_t totals[kDistanceQueries] = {
            hn::GetLane(hn::SumOfLanes(d, sum0)), hn::GetLane(hn::SumOfLanes(d, sum1)),
            hn::GetLane(hn::SumOfLanes(d, sum2)), hn::GetLane(hn::SumOfLanes(d, sum3))};
        for (; w < words; ++w) {
            for (std::size_t q = 0; q < kDistanceQueries; ++q) {
                totals[q] +=
                    static_cast<std::uint64_t>(std::popcount(record[w] ^ queries[q * words + w]));
            }
        }
        for (std::size_t q = 0; q < kDistanceQueries; ++q) {
            distances[q * record_count + r] = static_cast<std::int32_t>(totals[q]);
        }
    }
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

HWY_EXPORT(count);

void count_differing_bits(const std::uint64_t* records, std::size_t record_count,
                          const std::uint64_t* queries, std::size_t words,
                          std::int32_t* distances) {
    HWY_DYNAMIC_DISPATCH(count)(records, record_count, queries, words, distances);
}

}  // namespace thresher
#endif
