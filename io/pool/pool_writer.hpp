#pragma once

// Writing pools row by row, in one pass and bounded memory: one file, or a directory of shards.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/provenance.hpp"
#include "src/pool/boxes.hpp"
#include "src/pool/pool_info.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher::io {

/// Of pools of images with captions.
struct TextSchema {
    std::int64_t length = 0;         ///< L, tokens of a caption; 0: the pool has no text
    std::string vocabulary;          ///< the SentencePiece model that makes the tokens
    std::int64_t caption_bytes = 0;  ///< longest caption; longer ones are refused
    bool image_ids = false;          ///< false: every row has an image of its own
    bool caption_of = false;
};

/// Of pools for detection.
struct BoxSchema {
    bool present = false;
    bool areas = false, image_sizes = false;
};

/// What every row of a new pool has.
struct PoolSchema {
    std::vector<std::int64_t> input_shape;  ///< of one example; [C, H, W] for images
    ElementType element_type = ElementType::uint8;
    double scale = 1.0;
    std::vector<double> mean{0.0}, std{1.0};
    bool targets = false, clean_targets = false, ids = false, source_ids = false, names = false;
    std::vector<std::string> class_names;  ///< of targets or boxes
    std::int64_t classes = 0;     ///< where there are targets without names; 0: largest target + 1
    std::int64_t name_bytes = 0;  ///< longest name; longer ones are refused. 0: 255
    TextSchema text;
    BoxSchema boxes;
};

/// Consecutive rows; spans the schema does not ask for stay empty.
struct PoolRows {
    std::int64_t rows = 0;
    std::span<const std::byte> inputs = {};                          ///< [rows, ...]
    std::span<const std::int64_t> targets = {}, clean_targets = {};  ///< [rows]
    std::span<const std::int64_t> ids = {}, source_ids = {};         ///< [rows]
    std::span<const std::string> names = {};                         ///< [rows]
    std::span<const std::int32_t> tokens = {};                       ///< [rows, L]
    std::span<const std::string> captions = {};                      ///< [rows]
    std::span<const std::int64_t> image_ids = {}, caption_of = {};   ///< [rows]
    const Boxes* boxes = nullptr;                                    ///< of these rows
};

struct PoolWriterOptions {
    Overwrite overwrite = Overwrite::no;
    std::int64_t rows_per_shard = 0;  ///< 0: one file
    bool append = false;              ///< add shards to an existing shard directory
    /// Rows to come, where known: datasets are then contiguous, otherwise in chunks of at least 1
    /// MiB.
    std::int64_t expected_rows = 0;
};

/// Nothing appears at `path` before finish(). Throws FileError. Local.
class PoolWriter {
  public:
    PoolWriter(const std::string& path, PoolSchema schema, Provenance provenance,
               PoolWriterOptions options = {});
    ~PoolWriter();
    PoolWriter(const PoolWriter&) = delete;
    PoolWriter& operator=(const PoolWriter&) = delete;

    void append(const PoolRows& rows);
    std::int64_t rows() const;

    /// What is known only once all rows were seen; call before finish().
    void set_normalisation(std::vector<double> mean, std::vector<double> std);
    void set_class_names(std::vector<std::string> class_names);
    /// Sources that could not be imported: id = position in the source, reason names it.
    void set_quarantine(std::vector<QuarantinedRow> rows);

    /// Writes what is left and makes the pool appear. Throws FileError also where no row was
    /// appended.
    void finish();

  private:
    class Body;
    std::unique_ptr<Body> body_;
};

}  // namespace thresher::io
