#pragma once

// The one place where files and communicators meet: opening a file for writing by all ranks.

#include <mpi.h>

#include <string>

#include "io/hdf5/file.hpp"

namespace thresher::io::hdf5 {

/// Opens an existing file through MPI-IO for writing rows, together with all ranks of
/// `communicator`, which the library duplicates. Throws FileError. Collective.
File open_parallel(const std::string& path, MPI_Comm communicator);

}  // namespace thresher::io::hdf5
