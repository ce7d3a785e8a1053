#pragma once

// Which rows are the candidates of every update, and how many of them are kept: a super-batch is
// the next B rows of the epoch's order. Where less than half of one is left at the end of an epoch,
// its last two share their rows evenly: an update by a few rows steps as far as others, and where
// it measures batch norm it does much harm. The same for whoever asks, on any rank.

#include <cstdint>
#include <span>
#include <vector>

#include "src/pool/example_source.hpp"
#include "src/training/epoch_order.hpp"
#include "src/training/prioritised/pair_values.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

class SuperBatches {
  public:
    /// `source` must outlive this. Throws UsageError for an augmentation that does not suit it:
    /// crop-flip of images with boxes, or boxes of others.
    SuperBatches(ExampleSource& source, const TrainOptions& options);

    std::int64_t batch_size() const { return batch_size_; }    ///< rows of a full batch
    std::int64_t super_batch() const { return super_batch_; }  ///< candidates for one
    std::int64_t steps_per_epoch() const;
    /// Whether the method scores the candidates; with every one of them kept there is nothing to
    /// score for.
    bool scored() const;

    /// Candidates of update `step`, counted from 0; an epoch's last may be fewer, down to half.
    std::int64_t rows(std::int64_t step) const;
    /// Of those, how many are kept: the same share always.
    std::int64_t kept(std::int64_t step) const;
    /// Chooses them by what a scorer says of each, `values` [own candidates, layout.values()] of
    /// consecutive parts of the super-batch. The same on every rank. Collective.
    SubBatch choose(Collective& collective, std::int64_t step, std::span<const float> values,
                    const PairLayout& layout) const;

    /// Where in the source the candidates at these places [0, rows(step)) are.
    std::vector<std::int64_t> positions(std::int64_t step,
                                        std::span<const std::int64_t> places) const;
    std::vector<std::int64_t> positions(std::int64_t step, RowRange places) const;

    /// Reads the examples at `positions`, of update `step`, and augments them as the options say.
    void fetch(std::int64_t step, std::span<const std::int64_t> positions,
               Examples& examples) const;

  private:
    /// Rows of an epoch before its update `i`, up to steps_per_epoch().
    std::int64_t rows_before(std::int64_t i) const;

    ExampleSource& source_;
    TrainOptions options_;
    std::int64_t batch_size_, super_batch_;
    EpochOrder order_;
};

}  // namespace thresher
