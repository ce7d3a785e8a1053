#include "src/training/super_batches.hpp"

#include <algorithm>
#include <numeric>

#include "src/base/check.hpp"
#include "src/training/augment/augment.hpp"
#include "src/training/augment/box_augment.hpp"
#include "src/training/prioritised/method.hpp"

namespace thresher {
namespace {

void check_augmentation(AugmentKind kind, const PoolInfo& pool) {
    const bool moves_boxes = kind == AugmentKind::boxes;
    THRESHER_CHECK_AS(UsageError, kind == AugmentKind::none || moves_boxes == pool.has_boxes,
                      "augment {} takes images {} boxes, but {} has {}; use augment {}, or none",
                      moves_boxes ? "boxes" : "crop-flip", moves_boxes ? "with" : "without",
                      pool.path, pool.has_boxes ? "boxes, which it would leave behind" : "none",
                      moves_boxes ? "crop-flip" : "boxes");
}

}  // namespace

SuperBatches::SuperBatches(ExampleSource& source, const TrainOptions& options)
    : source_(source),
      options_(options),
      batch_size_(std::min(options.batch_size, source.size())),
      super_batch_(std::min(super_batch_size(options, batch_size_), source.size())),
      order_(source.size(), std::max<std::int64_t>(1, source.info().block_rows),
             options.window_blocks, options.seed) {
    check_augmentation(options.augment, source.info());
}

std::int64_t SuperBatches::steps_per_epoch() const {
    return (source_.size() + super_batch_ - 1) / super_batch_;
}

bool SuperBatches::scored() const {
    return !find_method(options_.method).acquisition.empty() && super_batch_ != batch_size_;
}

std::int64_t SuperBatches::rows_before(std::int64_t i) const {
    const std::int64_t last = steps_per_epoch() - 1;
    const std::int64_t rest = source_.size() - last * super_batch_;
    if (i == last && last > 0 && 2 * rest < super_batch_) {
        return source_.size() - (super_batch_ + rest) / 2;
    }
    return std::min(i * super_batch_, source_.size());
}

std::int64_t SuperBatches::rows(std::int64_t step) const {
    const std::int64_t i = step % steps_per_epoch();
    return rows_before(i + 1) - rows_before(i);
}

std::int64_t SuperBatches::kept(std::int64_t step) const {
    return std::max<std::int64_t>(1, (rows(step) * batch_size_ + super_batch_ / 2) / super_batch_);
}

SubBatch SuperBatches::choose(Collective& collective, std::int64_t step,
                              std::span<const float> values, const PairLayout& layout) const {
    if (layout.joint()) {
        return choose_pairs(collective, values, layout,
                            {.size = kept(step),
                             .chunks = options_.chunks,
                             .beta = 1.0 / options_.temperature,
                             .seed = options_.seed,
                             .update = step});
    }
    Selector selector;
    selector.name = find_method(options_.method).selector;
    selector.beta = 1.0 / options_.temperature;
    selector.seed = options_.seed;
    selector.round = static_cast<std::uint32_t>(step);
    selector.inclusion = options_.importance_weights;
    return choose_sub_batch(collective, values, kept(step), selector);
}

std::vector<std::int64_t> SuperBatches::positions(std::int64_t step,
                                                  std::span<const std::int64_t> places) const {
    const std::int64_t epoch = step / steps_per_epoch();
    const std::int64_t begin = rows_before(step % steps_per_epoch());
    std::vector<std::int64_t> positions;
    positions.reserve(places.size());
    for (const std::int64_t place : places) {
        positions.push_back(order_.row_at(epoch, begin + place));
    }
    return positions;
}

std::vector<std::int64_t> SuperBatches::positions(std::int64_t step, RowRange places) const {
    std::vector<std::int64_t> all(static_cast<std::size_t>(places.size()));
    std::iota(all.begin(), all.end(), places.begin);
    return positions(step, all);
}

void SuperBatches::fetch(std::int64_t step, std::span<const std::int64_t> positions,
                         Examples& examples) const {
    source_.fetch(positions, examples);
    const std::int64_t epoch = step / steps_per_epoch();
    switch (options_.augment) {
        case AugmentKind::none:
            break;
        case AugmentKind::crop_flip:
            crop_and_flip(examples.inputs, source_.info(), examples.ids, options_.seed, epoch);
            break;
        case AugmentKind::boxes:
            augment_boxes(examples, source_.info(), options_.seed, epoch);
            break;
    }
}

}  // namespace thresher
