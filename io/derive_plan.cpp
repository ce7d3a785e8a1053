#include "io/derive_plan.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kPieceRows = std::int64_t{1} << 20;

}  // namespace

RandomShare::RandomShare(double share, std::int64_t n, std::uint64_t seed)
    : rows_(std::llround(share * static_cast<double>(n))) {
    if (rows_ > 0) order_.emplace(n, seed, Stream::label_noise, 0);
}

DerivePlan::DerivePlan(const PoolFile& pool, const DeriveOptions& options)
    : pool_(pool), options_(options) {
    std::int64_t rows = pool.info().rows;
    if (!options.class_shares.empty()) {
        count_classes();
        for (std::size_t c = 0; c < class_rows_.size(); ++c)
            rows -= class_rows_[c] - class_kept_[c];
    }
    THRESHER_CHECK_AS(UsageError, rows > 0, "--imbalance leaves no row of {}", pool.info().path);
    if (options.subset > 0) {
        THRESHER_CHECK_AS(UsageError, options.subset <= rows, "--subset is {}; there are {} rows",
                          options.subset, rows);
        subset_order_.emplace(rows, options.seed, Stream::subset, 0);
        subset_ = rows = options.subset;
    }
    if (options.splits.empty()) {
        sizes_ = {rows};
    } else {
        place_splits(rows);
    }
}

void DerivePlan::count_classes() {
    class_rows_.assign(static_cast<std::size_t>(pool_.info().classes), 0);
    for_each_target([&](std::int64_t target) {
        if (target >= 0) ++class_rows_[static_cast<std::size_t>(target)];
    });
    for (std::size_t c = 0; c < class_rows_.size(); ++c) {
        class_kept_.push_back(
            std::llround(options_.class_shares[c] * static_cast<double>(class_rows_[c])));
        class_order_.emplace_back();
        if (class_rows_[c] > 0) {
            class_order_[c].emplace(class_rows_[c], options_.seed, Stream::subset,
                                    static_cast<std::uint32_t>(c + 1));
        }
    }
}

void DerivePlan::place_splits(std::int64_t rows) {
    std::int64_t named = 0;
    bool has_rest = false;
    for (const DeriveSplit& split : options_.splits) {
        has_rest = has_rest || split.rows < 0;
        named += std::max<std::int64_t>(0, split.rows);
    }
    THRESHER_CHECK_AS(UsageError, named + (has_rest ? 1 : 0) <= rows,
                      "--split asks for {} rows{}, there are {}", named,
                      has_rest ? " and a rest of at least 1" : "", rows);
    for (const DeriveSplit& split : options_.splits) {
        sizes_.push_back(split.rows < 0 ? rows - named : split.rows);
        ends_.push_back(std::accumulate(sizes_.begin(), sizes_.end(), std::int64_t{0}));
    }
    split_order_.emplace(rows, options_.seed, Stream::split, 0);
}

void DerivePlan::for_each_target(const std::function<void(std::int64_t)>& body) const {
    const PoolInfo& info = pool_.info();
    std::vector<std::int64_t> targets;
    for (std::int64_t begin = 0; begin < info.rows; begin += kPieceRows) {
        const RowRange rows{begin, std::min(info.rows, begin + kPieceRows)};
        targets.resize(static_cast<std::size_t>(rows.size()));
        pool_.read_targets(rows, targets);
        std::for_each(targets.begin(), targets.end(), body);
    }
}

std::optional<std::size_t> DerivePlan::destination(std::int64_t target, Met& met) const {
    if (!class_rows_.empty() && target >= 0) {
        const auto c = static_cast<std::size_t>(target);
        if ((*class_order_[c])(met.of_class[c]++) >= class_kept_[c]) return {};
    }
    if (subset_order_ && (*subset_order_)(met.balanced++) >= subset_) return {};
    if (!split_order_) return 0;
    const std::int64_t position = (*split_order_)(met.chosen++);
    const auto end = std::upper_bound(ends_.begin(), ends_.end(), position);
    if (end == ends_.end()) return {};  // beyond the named sizes, and no rest is wanted
    return static_cast<std::size_t>(end - ends_.begin());
}

std::vector<std::vector<std::int64_t>> DerivePlan::class_sizes() const {
    std::vector<std::vector<std::int64_t>> sizes(
        sizes_.size(), std::vector<std::int64_t>(static_cast<std::size_t>(pool_.info().classes)));
    Met met{std::vector<std::int64_t>(class_rows_.size(), 0)};
    for_each_target([&](std::int64_t target) {
        const auto place = destination(target, met);
        if (place && target >= 0) ++sizes[*place][static_cast<std::size_t>(target)];
    });
    return sizes;
}

void DerivePlan::for_each_row(
    const std::function<void(const SourceBlock&, std::size_t, std::size_t)>& body) const {
    const PoolInfo& info = pool_.info();
    SourceBlock block;
    Met met{std::vector<std::int64_t>(class_rows_.size(), 0)};
    for (std::int64_t begin = 0; begin < info.rows; begin += info.block_rows) {
        const RowRange rows{begin, std::min(info.rows, begin + info.block_rows)};
        const auto count = static_cast<std::size_t>(rows.size());
        block.first_row = begin;
        block.inputs.resize(count * static_cast<std::size_t>(info.bytes_per_row()));
        for (auto* column : {&block.targets, &block.clean_targets, &block.ids})
            column->resize(count);
        pool_.read_inputs(rows, block.inputs);
        pool_.read_targets(rows, block.targets);
        pool_.read_clean_targets(rows, block.clean_targets);
        pool_.read_ids(rows, block.ids);
        block.names = pool_.read_names(rows);
        for (std::size_t i = 0; i < count; ++i) {
            if (const auto place = destination(block.targets[i], met)) body(block, i, *place);
        }
    }
}

}  // namespace thresher::io
