#pragma once

// How several ranks write one file. The root creates it, all datasets allocated and all attributes
// set, and closes it; then all ranks open it together and write their rows, nothing else.

#include <functional>
#include <string>

namespace thresher::io {

namespace hdf5 {
class File;
}

/// Opens an existing file for writing by all ranks together (collective). With MPI it is
///     [&](const std::string& path) { return hdf5::open_parallel(path, communicator); }
/// from io/hdf5/parallel_file.hpp. May be empty where there is one rank.
using SharedFileOpener = std::function<hdf5::File(const std::string& path)>;

}  // namespace thresher::io
