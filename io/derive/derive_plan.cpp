#include "io/derive/derive_plan.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::int64_t kPieceRows = std::int64_t{1} << 20;

}  // namespace

RandomShare::RandomShare(double share, std::int64_t n, std::uint64_t seed, Stream stream)
    : rows_(std::llround(share * static_cast<double>(n))) {
    if (rows_ > 0) order_.emplace(n, seed, stream, 0);
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
    if (pool_.has_image_ids()) return place_images(rows);
    for (const DeriveSplit& split : options_.splits) {
        sizes_.push_back(split.rows < 0 ? rows - named : split.rows);
        ends_.push_back(std::accumulate(sizes_.begin(), sizes_.end(), std::int64_t{0}));
    }
    split_order_.emplace(rows, options_.seed, Stream::split, 0);
}

/// Images in a drawn order fill one split after the other, and what is left is the rest.
void DerivePlan::place_images(std::int64_t rows) {
    std::vector<std::int64_t> image_of_row, rows_of_image;
    image_of_row.reserve(static_cast<std::size_t>(rows));
    std::unordered_map<std::int64_t, std::int64_t> image_of_id;
    Met met{std::vector<std::int64_t>(class_rows_.size(), 0)};
    std::vector<std::int64_t> ids;
    std::int64_t row = 0;
    for_each_target([&](std::int64_t target) {
        const std::int64_t begin = row - row % kPieceRows;
        if (row == begin) {
            ids.resize(static_cast<std::size_t>(std::min(pool_.info().rows - begin, kPieceRows)));
            pool_.read_image_ids({begin, begin + std::ssize(ids)}, ids);
        }
        const std::int64_t id = ids[static_cast<std::size_t>(row++ - begin)];
        if (!place_to_split(target, met)) return;
        const auto [image, is_new] = image_of_id.try_emplace(id, std::ssize(rows_of_image));
        if (is_new) rows_of_image.push_back(0);
        ++rows_of_image[static_cast<std::size_t>(image->second)];
        image_of_row.push_back(image->second);
    });
    sizes_.assign(options_.splits.size(), 0);
    std::vector<std::int32_t> split_of_image(rows_of_image.size());
    const KeyedPermutation order(std::ssize(rows_of_image), options_.seed, Stream::split, 0);
    for (std::int64_t position = 0; position < order.size(); ++position) {
        const auto image = static_cast<std::size_t>(order(position));
        std::int32_t to = -1;
        for (std::size_t i = options_.splits.size(); i-- > 0;) {
            const std::int64_t wanted = options_.splits[i].rows;
            if (wanted < 0 ? to < 0 : sizes_[i] < wanted) to = static_cast<std::int32_t>(i);
        }
        split_of_image[image] = to;
        if (to >= 0) sizes_[static_cast<std::size_t>(to)] += rows_of_image[image];
    }
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
        const DeriveSplit& split = options_.splits[i];
        THRESHER_CHECK_AS(UsageError, sizes_[i] >= std::max<std::int64_t>(1, split.rows),
                          "--split leaves {} rows for {}, which is to have {}; the captions of an "
                          "image stay together, so pools may get a few rows more than asked for",
                          sizes_[i], split.name,
                          split.rows < 0 ? "the rest" : std::to_string(split.rows));
    }
    for (const std::int64_t image : image_of_row) {
        split_of_row_.push_back(split_of_image[static_cast<std::size_t>(image)]);
    }
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

std::optional<std::int64_t> DerivePlan::place_to_split(std::int64_t target, Met& met) const {
    if (!class_rows_.empty() && target >= 0) {
        const auto c = static_cast<std::size_t>(target);
        if ((*class_order_[c])(met.of_class[c]++) >= class_kept_[c]) return {};
    }
    if (subset_order_ && (*subset_order_)(met.balanced++) >= subset_) return {};
    return met.chosen++;
}

std::optional<std::size_t> DerivePlan::destination(std::int64_t target, Met& met) const {
    const std::optional<std::int64_t> place = place_to_split(target, met);
    if (!place) return {};
    if (!split_of_row_.empty()) {
        const std::int32_t split = split_of_row_[static_cast<std::size_t>(*place)];
        if (split < 0) return {};
        return static_cast<std::size_t>(split);
    }
    if (!split_order_) return 0;
    const auto end = std::upper_bound(ends_.begin(), ends_.end(), (*split_order_)(*place));
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

void DerivePlan::for_each_row(const RowBody& body) const { pass(true, body); }

void DerivePlan::for_each_row_of_columns(const RowBody& body) const { pass(false, body); }

void DerivePlan::read_text(RowRange rows, SourceBlock& block) const {
    const auto count = static_cast<std::size_t>(rows.size());
    block.tokens.resize(count * static_cast<std::size_t>(pool_.info().token_length));
    pool_.read_tokens(rows, block.tokens);
    block.captions = pool_.read_captions(rows);
    block.caption_of = block.image_ids;
    if (pool_.info().has_caption_of) pool_.read_caption_of(rows, block.caption_of);
}

void DerivePlan::pass(bool inputs, const RowBody& body) const {
    const PoolInfo& info = pool_.info();
    SourceBlock block;
    Met met{std::vector<std::int64_t>(class_rows_.size(), 0)};
    for (std::int64_t begin = 0; begin < info.rows; begin += info.block_rows) {
        const RowRange rows{begin, std::min(info.rows, begin + info.block_rows)};
        const auto count = static_cast<std::size_t>(rows.size());
        block.first_row = begin;
        if (inputs) {
            block.inputs.resize(count * static_cast<std::size_t>(info.bytes_per_row()));
            pool_.read_inputs(rows, block.inputs);
        }
        for (auto* column : {&block.targets, &block.clean_targets, &block.ids, &block.image_ids}) {
            column->resize(count);
        }
        pool_.read_targets(rows, block.targets);
        pool_.read_clean_targets(rows, block.clean_targets);
        pool_.read_ids(rows, block.ids);
        pool_.read_image_ids(rows, block.image_ids);
        block.names = pool_.read_names(rows);
        if (info.token_length > 0) read_text(rows, block);
        if (info.has_boxes) pool_.read_boxes(rows, block.boxes);
        for (std::size_t i = 0; i < count; ++i) {
            if (const auto place = destination(block.targets[i], met)) body(block, i, *place);
        }
    }
}

}  // namespace thresher::io
