#include "src/environments/table_plan.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/base/check.hpp"
#include "src/base/collective.hpp"
#include "src/base/narrow.hpp"
#include "src/random/permutation.hpp"

namespace thresher {

namespace {

/// Rounds of Stream::table_records: one a record, behind those of the lookup table itself.
constexpr std::int64_t kFirstRound = 16;

/// Draws of a record's round beside those of its candidates, by the id they are drawn for; kShares
/// is the first class's.
enum Draw : std::int64_t { kSize = std::int64_t{1} << 40, kParent, kExchanged, kShares };

KeyedRandom draws_of(const TablePlan& plan, std::int64_t number) {
    return {plan.seed, Stream::table_records, narrow<std::uint32_t>(kFirstRound + number)};
}

std::int64_t size_of(const TablePlan& plan, std::int64_t number) {
    return plan.least_size +
           draws_of(plan, number).integer(kSize, plan.most_size - plan.least_size + 1);
}

std::vector<std::int32_t> filled_up(const TablePlan& plan, std::vector<std::int32_t> subset) {
    std::sort(subset.begin(), subset.end());
    subset.resize(static_cast<std::size_t>(plan.most_size), -1);
    return subset;
}

}  // namespace

std::int64_t TablePlan::drawn_records() const {
    return std::max<std::int64_t>(1, records - std::llround(near * static_cast<double>(records)));
}

std::int64_t TablePlan::stratified_records() const {
    return std::min<std::int64_t>(drawn_records(),
                                  std::llround(stratified * static_cast<double>(records)));
}

std::vector<std::int64_t> TablePlan::numbers() const {
    std::vector<std::int64_t> found;
    for (std::int64_t number = shard; number < records; number += shards) found.push_back(number);
    return found;
}

void check_plan(const TablePlan& plan) {
    THRESHER_CHECK_AS(UsageError, plan.records >= 2,
                      "a table of {} records was asked for; 2 are the fewest, and some hundred "
                      "are of use",
                      plan.records);
    THRESHER_CHECK_AS(
        UsageError,
        plan.least_size >= 1 && plan.least_size <= plan.most_size &&
            plan.most_size <= plan.candidates,
        "subsets of {} to {} of {} candidates were asked for; allowed are 1 to {}, the smaller "
        "first",
        plan.least_size, plan.most_size, plan.candidates, plan.candidates);
    THRESHER_CHECK_AS(UsageError, plan.near >= 0.0 && plan.near < 1.0,
                      "the share of near records is {}; it must be 0 or more and below 1",
                      plan.near);
    THRESHER_CHECK_AS(UsageError, plan.stratified >= 0.0 && plan.stratified + plan.near <= 1.0,
                      "the share of stratified records is {}, and {} are near; both must be 0 or "
                      "more, and their sum 1 at most",
                      plan.stratified, plan.near);
    THRESHER_CHECK_AS(
        UsageError, plan.shards >= 1 && plan.shard >= 0 && plan.shard < plan.shards,
        "shard {} of {} was asked for; shards are counted from 0, so the last is one less than "
        "their number",
        plan.shard, plan.shards);
    THRESHER_CHECK_AS(
        UsageError, plan.shard < plan.drawn_records(),
        "shard {} has none of the {} records that are no mutations; take fewer shards", plan.shard,
        plan.drawn_records());
}

std::vector<std::int32_t> uniform_subset(const TablePlan& plan, std::int64_t number) {
    const std::int64_t size = size_of(plan, number);
    const KeyedPermutation order(plan.candidates, plan.seed, Stream::table_records,
                                 narrow<std::uint32_t>(kFirstRound + number));
    std::vector<std::int32_t> subset;
    for (std::int64_t i = 0; i < size; ++i) subset.push_back(static_cast<std::int32_t>(order(i)));
    return filled_up(plan, std::move(subset));
}

Strata::Strata(const TablePlan& plan, std::span<const float> label_counts) : plan_(plan) {
    const auto candidates = static_cast<std::size_t>(plan.candidates);
    const std::size_t classes = label_counts.size() / candidates;
    THRESHER_CHECK(classes > 0 && label_counts.size() == candidates * classes,
                   "{} counts of labels are not those of {} candidates", label_counts.size(),
                   candidates);
    columns_ = classes + 1;
    parts_.resize(candidates * columns_);
    totals_.resize(columns_);
    for (std::size_t i = 0; i < candidates; ++i) {
        const auto own = label_counts.subspan(i * classes, classes);
        const double labels = std::accumulate(own.begin(), own.end(), 0.0);
        const auto part = std::span(parts_).subspan(i * columns_, columns_);
        if (labels > 0.0) {
            std::transform(own.begin(), own.end(), part.begin(),
                           [&](float count) { return double{count} / labels; });
        } else {
            part.back() = 1.0;
        }
        for (std::size_t c = 0; c < columns_; ++c) totals_[c] += part[c];
    }
}

std::vector<std::int32_t> Strata::subset(std::int64_t number) const {
    const KeyedRandom draws = draws_of(plan_, number);
    std::vector<double> of_class(columns_, 0.0);  // its share, not yet divided by their sum
    for (std::size_t c = 0; c < columns_; ++c) {
        const double share = -std::log(draws.uniform(kShares + static_cast<std::int64_t>(c)));
        if (totals_[c] > 0.0) of_class[c] = share / totals_[c];
    }
    // The largest of log(weight) + Gumbel noise are draws without replacement.
    std::vector<ScoredId> order;
    for (std::size_t i = 0; i < parts_.size() / columns_; ++i) {
        const double weight =
            std::inner_product(of_class.begin(), of_class.end(),
                               parts_.begin() + static_cast<std::ptrdiff_t>(i * columns_), 0.0);
        const auto id = static_cast<std::int64_t>(i);
        order.push_back({std::log(weight) + draws.gumbel(id), id});
    }
    const std::int64_t size = size_of(plan_, number);
    std::partial_sort(order.begin(), order.begin() + size, order.end(),
                      [](const ScoredId& a, const ScoredId& b) { return a.before(b); });
    std::vector<std::int32_t> subset;
    for (std::int64_t i = 0; i < size; ++i) {
        subset.push_back(static_cast<std::int32_t>(order[static_cast<std::size_t>(i)].id));
    }
    return filled_up(plan_, std::move(subset));
}

std::vector<std::int32_t> mutated_subset(const TablePlan& plan, std::int64_t number,
                                         std::span<const std::vector<std::int32_t>> good) {
    const KeyedRandom draws = draws_of(plan, number);
    std::vector<std::int32_t> subset =
        good[static_cast<std::size_t>(draws.integer(kParent, std::ssize(good)))];
    std::erase(subset, -1);
    const std::int64_t size = std::ssize(subset);
    const std::int64_t free = plan.candidates - size;
    const std::int64_t most = std::min(free, std::max<std::int64_t>(1, size / 2));
    if (most == 0) return filled_up(plan, std::move(subset));
    const std::int64_t exchanged = 1 + draws.integer(kExchanged, most);
    const KeyedPermutation order(plan.candidates, plan.seed, Stream::table_records,
                                 narrow<std::uint32_t>(kFirstRound + number));
    // The permutation names who goes and, behind it, who comes.
    std::vector<std::int32_t> leaving, coming;
    for (std::int64_t i = 0; i < plan.candidates; ++i) {
        const auto item = static_cast<std::int32_t>(order(i));
        const bool there = std::find(subset.begin(), subset.end(), item) != subset.end();
        std::vector<std::int32_t>& list = there ? leaving : coming;
        if (std::ssize(list) < exchanged) list.push_back(item);
    }
    for (std::size_t i = 0; i < leaving.size(); ++i) {
        *std::find(subset.begin(), subset.end(), leaving[i]) = coming[i];
    }
    return filled_up(plan, std::move(subset));
}

}  // namespace thresher
