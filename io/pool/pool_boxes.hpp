#pragma once

// The datasets of boxes in one file of a pool: opened, checked and read; or made and written. Used
// inside io.

#include <optional>
#include <string>
#include <vector>

#include "io/hdf5/file.hpp"
#include "io/pool/pool_writer.hpp"
#include "src/pool/blocks.hpp"
#include "src/pool/boxes.hpp"
#include "src/pool/pool_info.hpp"

namespace thresher::io {

struct StoredBoxes {
    hdf5::Dataset corners, classes, offsets;
    std::optional<hdf5::Dataset> flags, areas, image_sizes;
};

/// The boxes of a file whose inputs have `rows` rows; nothing where it has none, or none that can
/// be used: what is wrong goes to `problems`.
std::optional<StoredBoxes> open_boxes(const hdf5::File& file, std::int64_t rows,
                                      std::vector<std::string>& problems);

/// `offsets` [rows + 1] become those of the rows. Throws FileError for ones that descend.
void read_offsets(const StoredBoxes& stored, RowRange rows, std::vector<std::int64_t>& offsets);

/// Adds the rows to `boxes`. Throws FileError for offsets that descend, and for boxes without area
/// or of a class that is not below `classes` (0: not checked).
void read_boxes(const StoredBoxes& stored, RowRange rows, std::int64_t classes, Boxes& boxes);

/// The boxes of one file while it is written.
class BoxDatasets {
  public:
    /// `fixed_rows` as for PoolDatasets; the number of boxes is never known before.
    BoxDatasets(hdf5::File& file, const BoxSchema& schema, std::int64_t fixed_rows);

    /// `boxes` from their row `from` on become the rows `into` of the file.
    void write(const Boxes& boxes, std::int64_t from, RowRange into);

  private:
    bool grows_;
    std::int64_t written_ = 0;  ///< boxes
    hdf5::Dataset corners_, classes_, flags_, offsets_;
    std::optional<hdf5::Dataset> areas_, image_sizes_;
};

}  // namespace thresher::io
