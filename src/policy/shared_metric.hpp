#pragma once

// Any metric, its work shared out over the ranks: each evaluates a part of the batches, and all get
// the values of all.

#include <algorithm>
#include <array>
#include <vector>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/collective.hpp"
#include "src/policy/metric.hpp"

namespace thresher {

class SharedMetric final : public Metric {
  public:
    /// `own` works on `group` batches at once; ranks get whole groups. It gives the same bits on
    /// all ranks for the same batch; both must outlive it.
    SharedMetric(Metric& own, Collective& collective, std::int64_t group = 1)
        : own_(own), collective_(collective), group_(group) {}

    std::string_view name() const override { return own_.name(); }

    /// All ranks pass as many batches; the root's count, so that ranks whose own differ by rounding
    /// get the same values. Throws the same Error on all ranks. Collective.
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values) override {
        std::array<std::int64_t, 2> shape{std::ssize(values), size};
        collective_.broadcast(std::span<std::int64_t>(shape));
        const std::int64_t count = shape[0], width = shape[1];
        agree(collective_, [&] {
            THRESHER_CHECK(std::ssize(values) == count && size == width,
                           "rank {} asks for {} batches of {}, the root for {} of {}",
                           collective_.rank(), values.size(), size, count, width);
        });
        std::vector<std::int32_t> batches(subsets.begin(), subsets.end());
        collective_.broadcast(std::span(batches));
        const std::int64_t groups = (count + group_ - 1) / group_, ranks = collective_.size();
        const auto bound = [&](std::int64_t rank) {
            return static_cast<std::size_t>(std::min(count, groups * rank / ranks * group_));
        };
        const std::size_t begin = bound(collective_.rank()), end = bound(collective_.rank() + 1);
        const std::span<double> part = values.subspan(begin, end - begin);
        agree(collective_, [&] {
            if (part.empty()) return;
            const auto picks = static_cast<std::size_t>(size);
            own_.evaluate(std::span(batches).subspan(begin * picks, part.size() * picks), size,
                          part);
        });
        const auto all = collective_.all_gather_v(std::span<const double>(part)).values;
        std::copy(all.begin(), all.end(), values.begin());
    }

  private:
    Metric& own_;
    Collective& collective_;
    std::int64_t group_;
};

}  // namespace thresher
