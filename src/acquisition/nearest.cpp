#include "src/acquisition/nearest.hpp"

#include <cmath>
#include <vector>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

// Highway compiles this file once for each instruction set and picks the best at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/acquisition/nearest.cpp"
#include "src/acquisition/targets.hpp"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "src/acquisition/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace thresher::HWY_NAMESPACE {

void all_squared_distances(std::span<const double> row, std::span<const float> others,
                           std::span<double> distances) {
    const hn::ScalableTag<double> d;
    const std::size_t size = row.size();
    for (std::size_t m = 0; m < distances.size(); ++m) {
        const float* HWY_RESTRICT other = others.data() + m * size;
        auto sum = all(0.0);
        std::size_t i = 0;
        for (; i + kGroup <= size; i += kGroup) {
            const auto difference = load(row.data() + i) - load(other + i);
            sum = fma(difference, difference, sum);
        }
        const auto halves = hn::Add(hn::Add(sum.v0, sum.v1), hn::Add(sum.v2, sum.v3));
        double total = hn::GetLane(hn::SumOfLanes(d, halves));
        for (; i < size; ++i) {
            const double difference = row[i] - double{other[i]};
            total += difference * difference;
        }
        distances[m] = total;
    }
}

}  // namespace thresher::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thresher {

namespace {

HWY_EXPORT(all_squared_distances);

constexpr std::int64_t kGrain = 64;          // rows a thread takes at a time
constexpr std::size_t kOthersBytes = 65536;  // of others that stay in cache while they meet them

/// The k smallest numbers it is told, ascending.
class Smallest {
  public:
    explicit Smallest(std::size_t k) : k_(k) { values_.reserve(k + 1); }

    void add(double value) {
        if (values_.size() == k_ && !(value < values_.back())) return;
        values_.insert(std::upper_bound(values_.begin(), values_.end(), value), value);
        if (values_.size() > k_) values_.pop_back();
    }

    const std::vector<double>& values() const { return values_; }

  private:
    std::size_t k_;
    std::vector<double> values_;
};

}  // namespace

void squared_distances(std::span<const double> row, std::span<const float> others,
                       std::span<double> distances) {
    HWY_DYNAMIC_DISPATCH(all_squared_distances)(row, others, distances);
}

void mean_nearest_distances(std::span<const float> embeddings, std::span<const std::int64_t> ids,
                            std::span<const float> others, std::span<const std::int64_t> other_ids,
                            std::int64_t size, std::size_t k, std::span<double> means) {
    const auto d = static_cast<std::size_t>(size);
    const std::size_t step = std::max<std::size_t>(1, kOthersBytes / (d * sizeof(float)));
    const std::size_t count = others.size() / d;
    parallel_for(
        static_cast<std::int64_t>(means.size()), kGrain, [&](std::int64_t first, std::int64_t end) {
            const auto begin = static_cast<std::size_t>(first);
            const std::size_t rows = static_cast<std::size_t>(end) - begin;
            const std::vector<double> block(
                embeddings.begin() + static_cast<std::ptrdiff_t>(begin * d),
                embeddings.begin() + static_cast<std::ptrdiff_t>((begin + rows) * d));
            std::vector<Smallest> nearest(rows, Smallest(k));
            std::vector<double> distances(step);
            for (std::size_t from = 0; from < count; from += step) {
                const std::size_t part = std::min(step, count - from);
                const std::span<double> found(distances.data(), part);
                for (std::size_t row = 0; row < rows; ++row) {
                    squared_distances(std::span(block).subspan(row * d, d),
                                      others.subspan(from * d, part * d), found);
                    for (std::size_t i = 0; i < part; ++i) {
                        const bool itself = !ids.empty() && !other_ids.empty() &&
                                            ids[begin + row] == other_ids[from + i];
                        if (!itself && std::isfinite(found[i])) nearest[row].add(found[i]);
                    }
                }
            }
            for (std::size_t row = 0; row < rows; ++row) {
                const std::vector<double>& values = nearest[row].values();
                double sum = 0.0;
                for (const double square : values) sum += std::sqrt(square);
                means[begin + row] = sum / static_cast<double>(values.size());  // 0 / 0 is NaN
            }
        });
}

}  // namespace thresher
#endif
