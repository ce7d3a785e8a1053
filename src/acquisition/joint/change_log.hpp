#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include "src/acquisition/joint/coverage.hpp"
#include "src/base/collective.hpp"

namespace thresher {

/// What the picks changed, on this rank, so that a gain of an earlier pick can be brought up to
/// date from the rows whose best similarity rose since. Kept as far back as that takes less than
/// computing the gain anew.
class ChangeLog {
  public:
    /// Before any pick; `covered` rows over all ranks.
    explicit ChangeLog(std::int64_t covered) : covered_(covered) {}

    CoverageChanges& changes() { return changes_; }
    const CoverageChanges& changes() const { return changes_; }

    /// After a pick changed what is new in changes(). Collective.
    void finish_pick(Collective& collective) {
        std::array<std::int64_t, 1> rows{
            static_cast<std::int64_t>(changes_.rows.size() - begins_.back())};
        begins_.push_back(changes_.rows.size());
        collective.all_reduce_sum(rows);
        all_rows_.push_back(rows[0]);
        for (std::int64_t sum =
                 std::accumulate(all_rows_.begin() + static_cast<std::ptrdiff_t>(oldest_),
                                 all_rows_.end(), std::int64_t{0});
             sum >= covered_ && oldest_ < all_rows_.size(); ++oldest_) {
            sum -= all_rows_[oldest_];
        }
        if (begins_[oldest_] > changes_.rows.size() / 2) forget();
    }

    /// True where the changes since `computed` picks were made are all there.
    bool reaches(std::int64_t computed) const {
        return static_cast<std::size_t>(computed) >= oldest_;
    }
    /// Where they begin in changes().
    std::size_t begin(std::int64_t computed) const {
        return begins_[static_cast<std::size_t>(computed)];
    }

  private:
    /// Drops what no bound is brought up to date from.
    void forget() {
        const std::size_t count = begins_[oldest_];
        const auto drop = [&](auto& values) {
            values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count));
        };
        drop(changes_.rows);
        drop(changes_.before);
        drop(changes_.after);
        for (std::size_t& begin : begins_) begin -= std::min(begin, count);
    }

    std::int64_t covered_;
    CoverageChanges changes_;
    std::vector<std::size_t> begins_{0};  ///< of each pick, in changes_
    std::vector<std::int64_t> all_rows_;  ///< changed by each pick, over all ranks
    std::size_t oldest_ = 0;              ///< the first pick that is kept
};

}  // namespace thresher
