#include "src/selection/budget.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "src/base/check.hpp"
#include "src/selection/ordered_key.hpp"

namespace thresher {

namespace {

constexpr int kBudgetBits = 48;  // of the budget in units of cost
constexpr int kDigitBits = 11;
constexpr std::size_t kDigits = std::size_t{1} << kDigitBits;
constexpr std::uint64_t kLowBits = (std::uint64_t{1} << 24) - 1;

/// A row that may still be picked.
struct Row {
    std::uint32_t key;  ///< ordered_key of score / cost
    std::uint32_t offset;
};

/// Sums of costs by digit: two words of 24 bits each, so that no sum over 2^38 rows overflows.
class CostSums {
  public:
    void add(std::size_t digit, std::uint64_t cost) {
        words_[2 * digit] += static_cast<std::int64_t>(cost >> 24);
        words_[2 * digit + 1] += static_cast<std::int64_t>(cost & kLowBits);
    }
    void reduce(Collective& collective) { collective.all_reduce_sum(std::span(words_)); }
    __extension__ using Wide = __int128;
    Wide of(std::size_t digit) const {
        return (static_cast<Wide>(words_[2 * digit]) << 24) + words_[2 * digit + 1];
    }

  private:
    std::array<std::int64_t, 2 * kDigits> words_{};
};

/// Where the budget runs out among values that are bought in ascending order: all below `value`
/// fit, those of `value` do not fit together. `end` where all fit.
struct Cut {
    std::uint64_t value;
    bool end;
    std::uint64_t left;  ///< of the budget, when all below are bought
};

/// Finds the cut digit by digit. Calls for_each(body), which calls body(value, cost) for all own
/// rows; values have `bits` bits.
template <class ForEach>
Cut find_cut(Collective& collective, int bits, std::uint64_t budget, ForEach for_each) {
    std::uint64_t prefix = 0;
    for (int shift = (bits - 1) / kDigitBits * kDigitBits; shift >= 0; shift -= kDigitBits) {
        CostSums sums;
        for_each([&](std::uint64_t value, std::uint64_t cost) {
            const int above = shift + kDigitBits;
            if (above < 64 && (value >> above) != prefix) return;
            sums.add((value >> shift) & (kDigits - 1), cost);
        });
        sums.reduce(collective);
        std::size_t digit = 0;
        for (; digit < kDigits && sums.of(digit) <= static_cast<CostSums::Wide>(budget); ++digit) {
            budget -= static_cast<std::uint64_t>(sums.of(digit));
        }
        if (digit == kDigits) return {0, true, budget};  // only the first digit can come here
        prefix = (prefix << kDigitBits) | digit;
    }
    return {prefix, false, budget};
}

struct Pick {
    std::int64_t id;
    float score, cost;
    std::uint32_t key, reserved = 0;
};

}  // namespace

BudgetedSelection select_within_budget(Collective& collective, const ScoredRows& rows,
                                       std::span<const float> costs, double budget) {
    THRESHER_CHECK_AS(UsageError, std::isfinite(budget) && budget > 0.0,
                      "the budget is {}; it must be a finite number above 0", budget);
    THRESHER_CHECK(costs.size() == rows.scores.size(), "{} costs for {} scores", costs.size(),
                   rows.scores.size());
    check_rows(collective, rows);

    BudgetedSelection result;
    const int unit = std::ilogb(budget) + 1 - kBudgetBits;  // its power of two
    const auto units = [&](std::uint32_t offset) {
        return static_cast<std::uint64_t>(
            std::min(0x1p62, std::ceil(std::ldexp(static_cast<double>(costs[offset]), -unit))));
    };
    std::vector<Row> open;
    for (std::uint32_t i = 0; i < rows.scores.size(); ++i) {
        if (!rows.excluded.empty() && rows.excluded[i] != 0) continue;
        const float score = rows.scores[i], cost = costs[i];
        if (!std::isfinite(score)) {
            result.selection.quarantined.push_back({rows.id(i), fmt::format("score is {}", score)});
        } else if (!std::isfinite(cost) || cost <= 0.0F) {
            result.selection.quarantined.push_back({rows.id(i), fmt::format("cost is {}", cost)});
        } else if (score >= 0.0F) {
            // Ascending keys are descending scores per cost.
            open.push_back({~ordered_key(score / cost), i});
        }
    }
    std::int64_t selectable = std::ssize(open);
    collective.all_reduce_sum(std::span(&selectable, 1));
    result.selection.selectable = selectable;

    std::vector<Pick> own;
    const auto buy = [&](const Row& row) {
        own.push_back({rows.id(row.offset), rows.scores[row.offset], costs[row.offset], row.key});
    };
    for (auto left = static_cast<std::uint64_t>(std::ldexp(budget, -unit));;) {
        std::erase_if(open, [&](const Row& row) { return units(row.offset) > left; });
        std::int64_t still_open = std::ssize(open);
        collective.all_reduce_sum(std::span(&still_open, 1));
        if (still_open == 0) break;
        const Cut cut = find_cut(collective, 32, left, [&](auto body) {
            for (const Row& row : open) body(row.key, units(row.offset));
        });
        // Those at the cut by id, as far as the money goes.
        Cut id_cut{0, false, cut.left};
        if (!cut.end) {
            id_cut = find_cut(collective, 63, cut.left, [&](auto body) {
                for (const Row& row : open) {
                    if (row.key == cut.value) {
                        body(static_cast<std::uint64_t>(rows.id(row.offset)), units(row.offset));
                    }
                }
            });
        }
        std::erase_if(open, [&](const Row& row) {
            const bool bought =
                cut.end || row.key < cut.value ||
                (row.key == cut.value &&
                 (id_cut.end || static_cast<std::uint64_t>(rows.id(row.offset)) < id_cut.value));
            if (bought) buy(row);
            return bought;
        });
        left = id_cut.left;
    }
    Gathered<Pick> all = collective.gather_v(std::span<const Pick>(own));
    std::int64_t picked = std::ssize(own);
    collective.all_reduce_sum(std::span(&picked, 1));
    THRESHER_CHECK(
        picked > 0,
        "no row can be bought for the budget of {}: {} rows have a score of 0 or more, and "
        "each of them costs more",
        budget, selectable);
    std::sort(all.values.begin(), all.values.end(), [](const Pick& a, const Pick& b) {
        return a.key != b.key ? a.key < b.key : a.id < b.id;
    });
    for (const Pick& pick : all.values) {
        result.selection.ids.push_back(pick.id);
        result.selection.scores.push_back(pick.score);
        result.costs.push_back(pick.cost);
        result.spent += double{pick.cost};
    }
    return result;
}

}  // namespace thresher
