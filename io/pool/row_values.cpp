#include "io/pool/row_values.hpp"

#include <filesystem>

#include "io/hdf5/file.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

std::vector<float> read_row_values(const std::string& path, const std::string& dataset,
                                   std::int64_t total_rows, RowRange rows) {
    THRESHER_CHECK_AS(FileError, !std::filesystem::is_directory(path),
                      "{}: is a pool of shards; dataset {} can only be read from a single file",
                      path, dataset);
    const hdf5::File file = hdf5::File::open(path);
    const hdf5::Dataset values = file.dataset(dataset);
    const bool numbers = values.is_integer() || values.type() == hdf5::Type::float32 ||
                         values.type() == hdf5::Type::float64;
    THRESHER_CHECK_AS(
        FileError, numbers && values.shape().size() == 1 && values.rows() == total_rows,
        "{}: {} is {} of shape [{}], expected numbers of shape [{}], one a row", path, dataset,
        hdf5::type_name(values.type()), fmt::join(values.shape(), ", "), total_rows);
    std::vector<float> found(static_cast<std::size_t>(rows.size()));
    values.read(rows, found);
    return found;
}

}  // namespace thresher::io
