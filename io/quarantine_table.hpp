#pragma once

// The datasets /quarantine/ids and /quarantine/reasons that pools, predictions and scores share.

#include <vector>

#include "io/hdf5/file.hpp"
#include "src/pool/quarantine.hpp"

namespace thresher::io {

/// Writes both datasets, in id order; also for no rows at all. Throws FileError. Local.
void write_quarantine(hdf5::File& file, std::vector<QuarantinedRow> rows);

/// Empty where the file has none. Throws FileError. Local.
std::vector<QuarantinedRow> read_quarantine(const hdf5::File& file);

}  // namespace thresher::io
