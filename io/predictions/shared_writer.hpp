#pragma once

// The three steps of a file that all ranks write: the root creates it, all write rows, the root
// completes and renames it. Used inside io.

#include <functional>
#include <optional>
#include <string>

#include "io/atomic_file.hpp"
#include "io/hdf5/file.hpp"
#include "io/predictions/shared_file.hpp"
#include "src/base/collective.hpp"

namespace thresher::io {

/// All functions are collective, and throw the same error on all ranks.
class SharedWriter {
  public:
    /// `create` runs at the root alone, on the new file.
    SharedWriter(const std::string& path, Overwrite overwrite, Collective& collective,
                 const SharedFileOpener& open_shared,
                 const std::function<void(hdf5::File& file)>& create);

    /// Open on all ranks, until finish().
    hdf5::File& file() { return *file_; }
    Collective& collective() { return collective_; }
    /// True where the ranks write through MPI-IO.
    bool parallel() const { return parallel_; }

    /// Datasets of file() must be closed by now. `complete` runs at the root alone, on the file
    /// with all rows.
    void finish(const std::function<void(hdf5::File& file)>& complete);

  private:
    Collective& collective_;
    std::optional<AtomicFile> place_;  ///< at the root
    std::optional<hdf5::File> file_;
    bool parallel_;
};

}  // namespace thresher::io
