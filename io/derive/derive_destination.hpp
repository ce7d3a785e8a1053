#pragma once

// A pool that is being derived: rows are copied, jittered, mislabelled and given other captions on
// their way. Used inside io.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/derive/caption_shuffle.hpp"
#include "io/derive/derive.hpp"
#include "io/derive/derive_plan.hpp"
#include "io/pool/pool_writer.hpp"

namespace thresher::io {

/// Rows of a pool before repeats, and of each class, where that is asked for.
struct DerivedSize {
    std::int64_t rows = 0;
    std::vector<std::int64_t> of_class{};
};

class DeriveDestination {
  public:
    DeriveDestination(const PoolFile& source, const DeriveOptions& options,
                      const Provenance& provenance, const std::string& path,
                      const DerivedSize& size, bool spoiled);

    /// How often a row with this target is written.
    std::int64_t repeats(std::int64_t target) const;

    /// A row to come, where captions are shuffled: before the first is added.
    void announce(const SourceBlock& block, std::size_t local);

    /// Row `local` of the block, for copy number `copy`.
    void add(const SourceBlock& block, std::size_t local, std::int64_t copy);

    DerivedPool finish();

  private:
    std::int64_t written_rows(const DerivedSize& size) const;
    PoolSchema schema() const;
    void add_caption(const SourceBlock& block, std::size_t local);
    void jitter(std::span<std::byte> inputs, std::int64_t row, std::int64_t copy) const;
    std::int64_t mislabelled(std::int64_t target) const;
    void flush();

    const PoolFile& source_;
    const DeriveOptions& options_;
    bool spoiled_, keeps_clean_ = false, keeps_image_ids_ = false, keeps_caption_of_ = false;
    std::int64_t written_ = 0;
    RandomShare noise_;
    CaptionShuffle captions_;
    DerivedPool result_;
    std::unique_ptr<PoolWriter> writer_;
    std::vector<std::byte> inputs_;
    std::vector<std::int64_t> targets_, clean_targets_, source_ids_, image_ids_, caption_of_;
    std::vector<std::int32_t> tokens_;
    std::vector<std::string> names_, texts_;
    Boxes boxes_;
};

}  // namespace thresher::io
