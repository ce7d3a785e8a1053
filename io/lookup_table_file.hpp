#pragma once

// Lookup tables as files.

#include <string>

#include "io/atomic_file.hpp"
#include "io/provenance.hpp"
#include "src/policy/lookup_table/lookup_table.hpp"

namespace thresher::io {

/// Writes `path`, atomically. Throws FileError. Local: the root's business.
void write_lookup_table(const std::string& path, const LookupTable& table,
                        const Provenance& provenance, Overwrite overwrite);

/// Throws FileError naming the dataset that is missing or does not fit. Local.
LookupTable read_lookup_table(const std::string& path);

}  // namespace thresher::io
