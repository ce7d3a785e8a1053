#pragma once

// One number a row from anywhere in a file of the user's, such as what a row costs.

#include <string>
#include <vector>

#include "src/pool/blocks.hpp"

namespace thresher::io {

/// Rows [begin, end) of a dataset of numbers with `total_rows` rows. Throws FileError where there
/// is no such dataset or it has another shape. Local.
std::vector<float> read_row_values(const std::string& path, const std::string& dataset,
                                   std::int64_t total_rows, RowRange rows);

}  // namespace thresher::io
