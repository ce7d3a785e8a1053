#pragma once

// Any metric, its work shared out over the ranks: each evaluates a part of the batches, and all get
// the values of all.

#include <algorithm>

#include "src/base/agreement.hpp"
#include "src/base/collective.hpp"
#include "src/policy/metric.hpp"

namespace thresher {

class SharedMetric final : public Metric {
  public:
    /// `own` gives the same bits on all ranks; both must outlive it.
    SharedMetric(Metric& own, Collective& collective) : own_(own), collective_(collective) {}

    std::string_view name() const override { return own_.name(); }

    /// All ranks pass the same subsets. Throws the same Error on all ranks. Collective.
    void evaluate(std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> values) override {
        const std::int64_t count = std::ssize(values), ranks = collective_.size();
        const auto begin = static_cast<std::size_t>(count * collective_.rank() / ranks);
        const auto end = static_cast<std::size_t>(count * (collective_.rank() + 1) / ranks);
        const auto width = static_cast<std::size_t>(size);
        const std::span<double> part = values.subspan(begin, end - begin);
        agree(collective_, [&] {
            if (part.empty()) return;
            own_.evaluate(subsets.subspan(begin * width, part.size() * width), size, part);
        });
        const auto all = collective_.all_gather_v(std::span<const double>(part)).values;
        std::copy(all.begin(), all.end(), values.begin());
    }

  private:
    Metric& own_;
    Collective& collective_;
};

}  // namespace thresher
