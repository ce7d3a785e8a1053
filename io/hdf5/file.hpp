#pragma once

// HDF5 files: opened for reading, or created new. Intermediate groups are made as needed.

#include <cstdint>
#include <string>
#include <vector>

#include "io/hdf5/dataset.hpp"
#include "io/hdf5/handle.hpp"

namespace thresher::io::hdf5 {

/// A dataset to create.
struct DatasetSpec {
    std::string name = {};  ///< "/scores/entropy"
    Type type = Type::float32;
    std::vector<std::int64_t> shape = {};
    std::string description = {}, unit = {};  ///< attributes; `unit` is left out where empty
    std::int64_t text_bytes = 0;              ///< length of each string of a text dataset
    /// > 0: chunks of so many rows, first axis without limit. 0: contiguous, allocated at once.
    std::int64_t chunk_rows = 0;
};

/// Whether the file can be read and begins as HDF5 files do. Local.
bool has_signature(const std::string& path);

class File {
  public:
    /// Opens for reading. Throws FileError that tells apart: missing, not readable, no HDF5 at all,
    /// truncated (an HDF5 signature, but not a whole file). No file lock is taken: files are
    /// immutable.
    static File open(const std::string& path);
    /// Opens an existing file for changing it; for files that are still .tmp.
    static File open_writable(const std::string& path);
    /// Creates; an existing file of this name is replaced.
    static File create(const std::string& path);

    File(Handle handle, std::string path) : handle_(std::move(handle)), path_(std::move(path)) {}

    const std::string& path() const { return path_; }
    bool has(const std::string& name) const;
    bool is_dataset(const std::string& name) const;
    /// Names of the links in a group, in alphabetical order; empty where there is no such group.
    std::vector<std::string> list(const std::string& group) const;
    Dataset dataset(const std::string& name) const;
    Dataset create_dataset(const DatasetSpec& spec);
    void create_group(const std::string& name);
    ObjectRef root() const { return {handle_.id(), path_, "/"}; }

    /// Writes out what is still in memory. All ranks of a file that was opened together call it.
    void flush();

    /// Closes and reports what the destructor would have to swallow (a full disk shows up here).
    void close();

  private:
    Handle handle_;
    std::string path_;
};

}  // namespace thresher::io::hdf5
