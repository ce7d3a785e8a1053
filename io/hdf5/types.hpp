#pragma once

// Thresher's element types as HDF5's, in files and in memory. For the .cpp files of this folder.

#include <cstdint>

#include "io/hdf5/dataset.hpp"

namespace thresher::io::hdf5 {

struct FileType {
    Type type;
    bool exact;               ///< bytes in the file are bytes in memory
    std::int64_t text_bytes;  ///< of a fixed-length string; 0 for variable length
    bool is_unsigned64 = false;
};

/// What the HDF5 type `id` of a file is to us.
FileType file_type(std::int64_t id);

/// The native type; owned by the library.
std::int64_t memory_type(Type type);

/// A new little-endian type for files.
Handle make_file_type(Type type, std::int64_t text_bytes);

std::int64_t bytes_of(Type type);

}  // namespace thresher::io::hdf5
