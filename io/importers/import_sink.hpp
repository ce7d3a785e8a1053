#pragma once

// Where every importer puts its rows: collects them into blocks, sets bad ones apart, adds up the
// statistics and writes the pool.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/importers/importers.hpp"
#include "io/pool/pool_writer.hpp"

namespace thresher::io {

/// Per-channel mean and standard deviation of x * scale over a stream of rows, as fixed-tree double
/// sums over blocks of rows; the channel is the first axis of the example.
class ChannelStatistics {
  public:
    explicit ChannelStatistics(const PoolInfo& info);

    void add_block(std::span<const std::byte> inputs);
    std::vector<double> mean() const;
    /// 1 where a channel is constant, so that one can divide by it.
    std::vector<double> std() const;

  private:
    double element(std::span<const std::byte> inputs, std::size_t index) const;
    double shift(std::size_t channel) const { return shifts_.empty() ? 0.0 : shifts_[channel]; }
    double total(const std::vector<double>& sums, std::size_t channel) const;

    PoolInfo info_;
    std::size_t channels_, per_channel_;
    std::int64_t rows_ = 0;
    std::vector<double> shifts_;          ///< means of the first row, against cancellation
    std::vector<double> sums_, squares_;  ///< [blocks, channels]
};

/// The text of a row, where the pool has captions.
struct CaptionRow {
    std::span<const std::int32_t> tokens = {};
    std::string_view text = {};
    std::int64_t image_id = -1, caption_of = -1;
};

/// Boxes, of which one row is meant.
struct BoxRow {
    const Boxes* boxes = nullptr;
    std::int64_t row = 0;
};

/// [rows], the ids of the images that the pool's rows show.
std::vector<std::int64_t> image_ids_of(const PoolFile& pool);

/// Above the ids of all images of the pool, and its rows.
std::int64_t free_image_id(const PoolFile& pool);

class ImportSink {
  public:
    /// `schema` without statistics. `expected_rows` as in PoolWriterOptions.
    ImportSink(const ImportOptions& options, const PoolSchema& schema, const Provenance& provenance,
               std::int64_t expected_rows = 0);

    /// One row; `position` is its place in the source. A target outside [0, class_names) is
    /// quarantined.
    void add(std::int64_t position, std::span<const std::byte> inputs, std::int64_t target = -1,
             std::int64_t id = -1, const std::string& name = "", std::int64_t clean_target = -1,
             const CaptionRow& caption = {}, const BoxRow& boxes = {});
    void quarantine(std::int64_t position, std::string reason);
    /// A box that is left out of its row, `position` the row's.
    void quarantine_box(std::int64_t position, std::string reason);
    void set_class_names(std::vector<std::string> class_names);
    std::int64_t rows() const;  ///< added so far

    /// Checks that all ids differ, those of a pool that is added to among them, and the bad rows
    /// and boxes against options.max_bad; writes the statistics and makes the pool appear.
    ImportReport finish();

  private:
    void flush();
    void check_ids();

    const ImportOptions& options_;
    PoolSchema schema_;
    PoolInfo info_;
    PoolWriter writer_;
    ChannelStatistics statistics_;
    std::int64_t block_rows_;
    std::vector<std::byte> inputs_;
    std::vector<std::int64_t> targets_, clean_targets_, ids_, image_ids_, caption_of_;
    std::vector<std::int32_t> tokens_;
    std::vector<std::string> names_, captions_;
    Boxes boxes_;
    std::int64_t box_count_ = 0;
    std::vector<std::int64_t> all_ids_;  ///< where the source has ids
    std::vector<QuarantinedRow> bad_, bad_boxes_;
};

}  // namespace thresher::io
