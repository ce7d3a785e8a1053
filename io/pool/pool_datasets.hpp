#pragma once

// The datasets of one file of a pool while it is written. Used inside io.

#include <map>
#include <optional>
#include <string>

#include "io/hdf5/file.hpp"
#include "io/pool/pool_boxes.hpp"
#include "io/pool/pool_writer.hpp"
#include "src/pool/blocks.hpp"

namespace thresher::io {

class PoolDatasets {
  public:
    /// Creates what `schema` asks for. `fixed_rows` 0: the datasets grow as rows are written.
    PoolDatasets(hdf5::File& file, const PoolSchema& schema, std::int64_t fixed_rows);

    /// `rows` from its row `from` on become the rows `into` of the file.
    void write(const PoolRows& rows, std::int64_t from, RowRange into);

  private:
    void make(const char* name, hdf5::Type type, std::vector<std::int64_t> row_shape,
              std::int64_t chunk_rows, const char* description, std::int64_t text_bytes = 0);
    void make_text(hdf5::File& file, const TextSchema& text);

    hdf5::File& file_;
    std::int64_t fixed_rows_;
    std::map<std::string, hdf5::Dataset> columns_;
    std::optional<BoxDatasets> boxes_;
};

}  // namespace thresher::io
