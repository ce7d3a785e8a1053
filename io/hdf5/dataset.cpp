#include "io/hdf5/dataset.hpp"

#include <hdf5.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "io/hdf5/types.hpp"
#include "src/base/check.hpp"
#include "src/base/narrow.hpp"

namespace thresher::io::hdf5 {

namespace {

/// One transfer moves at most this much, so that MPI-IO's int counts and page caches stay content.
constexpr std::int64_t kPieceBytes = std::int64_t{64} << 20;

struct Selection {
    Handle memory, file;
};

Selection select_rows(std::int64_t dataset, const std::vector<std::int64_t>& shape, RowRange rows,
                      const std::string& path, const std::string& what) {
    std::vector<hsize_t> start(shape.size(), 0), count;
    for (std::int64_t extent : shape) count.push_back(static_cast<hsize_t>(extent));
    start[0] = static_cast<hsize_t>(rows.begin);
    count[0] = static_cast<hsize_t>(rows.size());
    Selection selection;
    selection.memory = Handle(checked(
        H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), path, what));
    selection.file = Handle(checked(H5Dget_space(dataset), path, what));
    if (rows.size() == 0) {
        checked(H5Sselect_none(selection.memory.id()), path, what);
        checked(H5Sselect_none(selection.file.id()), path, what);
    } else {
        checked(H5Sselect_hyperslab(selection.file.id(), H5S_SELECT_SET, start.data(), nullptr,
                                    count.data(), nullptr),
                path, what);
    }
    return selection;
}

}  // namespace

Dataset::Dataset(Handle handle, std::string file, std::string name)
    : handle_(std::move(handle)), file_(std::move(file)), name_(std::move(name)) {
    const auto guard = lock();
    const std::string what = "open dataset " + name_;
    const Handle space(checked(H5Dget_space(handle_.id()), file_, what));
    const int axes = static_cast<int>(checked(H5Sget_simple_extent_ndims(space.id()), file_, what));
    std::vector<hsize_t> extents(static_cast<std::size_t>(axes));
    if (axes > 0) {
        checked(H5Sget_simple_extent_dims(space.id(), extents.data(), nullptr), file_, what);
    }
    for (hsize_t extent : extents) shape_.push_back(narrow<std::int64_t>(extent));
    const Handle type(checked(H5Dget_type(handle_.id()), file_, what));
    const FileType found = file_type(type.id());
    type_ = found.type;
    exact_ = found.exact;
    is_unsigned64_ = found.is_unsigned64;
    text_bytes_ = found.text_bytes;
}

std::int64_t Dataset::elements_per_row() const {
    std::int64_t elements = 1;
    for (std::size_t axis = 1; axis < shape_.size(); ++axis) elements *= shape_[axis];
    return elements;
}

bool Dataset::is_integer() const {
    return type_ == Type::uint8 || type_ == Type::int32 || type_ == Type::int64;
}

std::string Dataset::layout() const {
    const auto guard = lock();
    const Handle properties(
        checked(H5Dget_create_plist(handle_.id()), file_, "read the layout of " + name_));
    if (H5Pget_layout(properties.id()) != H5D_CHUNKED) return "contiguous";
    std::vector<hsize_t> chunk(shape_.size());
    H5Pget_chunk(properties.id(), static_cast<int>(chunk.size()), chunk.data());
    std::string text = fmt::format("chunks of {}", fmt::join(chunk, " x "));
    if (H5Pget_nfilters(properties.id()) > 0) text += ", compressed or filtered";
    return text;
}

/// Whether it lies in the file that was opened, not in another that an external link leads to.
bool Dataset::is_in_own_file() const {
    const Handle file(H5Iget_file_id(handle_.id()));
    std::string name(file_.size() + 2, '\0');
    const ssize_t length = H5Fget_name(file.id(), name.data(), name.size());
    return std::cmp_equal(length, file_.size()) && name.compare(0, file_.size(), file_) == 0;
}

std::optional<std::int64_t> Dataset::file_offset() const {
    const auto guard = lock();
    if (!is_in_own_file()) return std::nullopt;
    const std::string what = "read the layout of " + name_;
    const Handle properties(checked(H5Dget_create_plist(handle_.id()), file_, what));
    if (!exact_ || H5Pget_layout(properties.id()) != H5D_CONTIGUOUS ||
        H5Pget_external_count(properties.id()) != 0) {
        return std::nullopt;
    }
    const haddr_t offset = H5Dget_offset(handle_.id());  // none while nothing has been written
    if (offset == HADDR_UNDEF) return std::nullopt;
    return narrow<std::int64_t>(offset);
}

/// The library reads zeros behind the end of a file that was cut short after it was opened; throws
/// FileError there. A file that is still being written, or open by MPI-IO, is let pass.
void Dataset::check_not_cut() const {
    const Handle file(H5Iget_file_id(handle_.id()));
    const Handle access(H5Fget_access_plist(file.id()));
    unsigned intent = 0;
    hsize_t size = 0;
    void* descriptor = nullptr;
    struct stat now {};
    if (H5Fget_intent(file.id(), &intent) < 0 || (intent & H5F_ACC_RDWR) != 0 ||
        H5Pget_driver(access.id()) != H5FD_SEC2 || H5Fget_filesize(file.id(), &size) < 0 ||
        H5Fget_vfd_handle(file.id(), access.id(), &descriptor) < 0 ||
        fstat(*static_cast<int*>(descriptor), &now) != 0) {
        return;
    }
    THRESHER_CHECK_AS(FileError, std::cmp_greater_equal(now.st_size, size),
                      "{}: has {} bytes, but had {} when it was opened: it was cut short while it "
                      "was in use; make the file again",
                      file_, now.st_size, size);
}

void Dataset::read_rows(RowRange rows, Type type, std::span<std::byte> bytes) const {
    const std::string what =
        fmt::format("read rows {} to {} of dataset {}", rows.begin, rows.end, name_);
    THRESHER_CHECK_AS(FileError,
                      rows.begin >= 0 && rows.begin <= rows.end && rows.end <= this->rows(),
                      "{}: rows {} to {} of dataset {} were asked for, but it has {}", file_,
                      rows.begin, rows.end, name_, this->rows());
    const std::int64_t row_bytes = elements_per_row() * bytes_of(type);
    THRESHER_CHECK(std::cmp_equal(bytes.size(), rows.size() * row_bytes),
                   "{} bytes to {} into a buffer of {}", rows.size() * row_bytes, what,
                   bytes.size());
    if (bytes.empty()) return;
    const std::int64_t step = std::max<std::int64_t>(1, kPieceBytes / row_bytes);
    for (RowRange piece{rows.begin, rows.begin}; piece.begin < rows.end; piece.begin = piece.end) {
        piece.end = std::min(rows.end, piece.begin + step);
        const auto guard = lock();
        const Selection selection = select_rows(handle_.id(), shape_, piece, file_, what);
        checked(H5Dread(handle_.id(), memory_type(type), selection.memory.id(), selection.file.id(),
                        H5P_DEFAULT, bytes.data() + (piece.begin - rows.begin) * row_bytes),
                file_, what);
    }
    const auto guard = lock();
    check_not_cut();
    if (is_unsigned64_ && type == Type::int64) check_not_clamped(rows, bytes);
}

/// The library makes the largest i64 of what is larger.
void Dataset::check_not_clamped(RowRange rows, std::span<const std::byte> bytes) const {
    constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
    for (std::size_t at = 0; at < bytes.size(); at += sizeof kLargest) {
        std::int64_t value = 0;
        std::memcpy(&value, bytes.data() + at, sizeof value);
        THRESHER_CHECK_AS(FileError, value < kLargest,
                          "{}: dataset {} holds a number of 2^63 - 1 or more among rows {} to {}; "
                          "allowed are smaller ones (take the lower 62 bits of a hash)",
                          file_, name_, rows.begin, rows.end);
    }
}

void Dataset::write_rows(RowRange rows, Type type, std::span<const std::byte> bytes,
                         Transfer transfer, bool* was_collective) {
    const auto guard = lock();
    const std::string what =
        fmt::format("write rows {} to {} of dataset {}", rows.begin, rows.end, name_);
    THRESHER_CHECK(
        std::cmp_equal(bytes.size(), rows.size() * elements_per_row() * bytes_of(type)) &&
            rows.begin >= 0 && rows.begin <= rows.end && rows.end <= this->rows(),
        "{}: {} bytes do not {} of {}", file_, bytes.size(), what, this->rows());
    if (transfer == Transfer::independent && std::cmp_greater(bytes.size(), kPieceBytes) &&
        rows.size() > 1) {
        const std::int64_t middle = rows.begin + rows.size() / 2;
        const auto first = static_cast<std::size_t>(middle - rows.begin) *
                           (bytes.size() / static_cast<std::size_t>(rows.size()));
        write_rows({rows.begin, middle}, type, bytes.first(first), transfer, was_collective);
        return write_rows({middle, rows.end}, type, bytes.subspan(first), transfer, was_collective);
    }
    const Selection selection = select_rows(handle_.id(), shape_, rows, file_, what);
    Handle properties;
    if (transfer == Transfer::collective) {
        properties = Handle(checked(H5Pcreate(H5P_DATASET_XFER), file_, what));
        checked(H5Pset_dxpl_mpio(properties.id(), H5FD_MPIO_COLLECTIVE), file_, what);
    }
    // A rank without rows takes part in a collective transfer with nothing to write.
    static constexpr std::byte kNothing{};
    const void* data = bytes.empty() ? &kNothing : bytes.data();
    checked(H5Dwrite(handle_.id(), memory_type(type), selection.memory.id(), selection.file.id(),
                     properties.valid() ? properties.id() : H5P_DEFAULT, data),
            file_, what);
    if (was_collective != nullptr) {
        H5D_mpio_actual_io_mode_t mode = H5D_MPIO_NO_COLLECTIVE;
        if (properties.valid()) H5Pget_mpio_actual_io_mode(properties.id(), &mode);
        *was_collective = mode == H5D_MPIO_CONTIGUOUS_COLLECTIVE;
    }
}

void Dataset::resize_rows(std::int64_t rows) {
    const auto guard = lock();
    shape_[0] = rows;
    std::vector<hsize_t> extents;
    for (std::int64_t extent : shape_) extents.push_back(static_cast<hsize_t>(extent));
    checked(H5Dset_extent(handle_.id(), extents.data()), file_,
            fmt::format("grow dataset {} to {} rows", name_, rows));
}

void Dataset::read(RowRange rows, std::span<std::int64_t> values) const {
    read_rows(rows, Type::int64, std::as_writable_bytes(values));
}

void Dataset::read(RowRange rows, std::span<float> values) const {
    read_rows(rows, Type::float32, std::as_writable_bytes(values));
}

void Dataset::read(RowRange rows, std::span<double> values) const {
    read_rows(rows, Type::float64, std::as_writable_bytes(values));
}

std::vector<std::string> Dataset::read_text(RowRange rows) const {
    const auto guard = lock();
    const std::string what =
        fmt::format("read rows {} to {} of dataset {}", rows.begin, rows.end, name_);
    THRESHER_CHECK_AS(FileError, type_ == Type::text, "{}: dataset {} is {}, expected text", file_,
                      name_, type_name(type_));
    std::vector<std::string> values;
    if (rows.size() == 0) return values;
    const Selection selection = select_rows(handle_.id(), shape_, rows, file_, what);
    const Handle type(checked(H5Dget_type(handle_.id()), file_, what));
    const auto count = static_cast<std::size_t>(rows.size() * elements_per_row());
    if (text_bytes_ == 0) {  // variable length
        std::vector<char*> texts(count, nullptr);
        checked(H5Dread(handle_.id(), type.id(), selection.memory.id(), selection.file.id(),
                        H5P_DEFAULT, texts.data()),
                file_, what);
        for (const char* text : texts) values.emplace_back(text != nullptr ? text : "");
        H5Dvlen_reclaim(type.id(), selection.memory.id(), H5P_DEFAULT, texts.data());
        return values;
    }
    const auto length = static_cast<std::size_t>(text_bytes_);
    std::vector<char> text(count * length);
    checked(H5Dread(handle_.id(), type.id(), selection.memory.id(), selection.file.id(),
                    H5P_DEFAULT, text.data()),
            file_, what);
    for (std::size_t i = 0; i < count; ++i) {
        const char* begin = text.data() + i * length;
        values.emplace_back(begin, strnlen(begin, length));
    }
    return values;
}

void Dataset::write_text(RowRange rows, std::span<const std::string> values) {
    const auto guard = lock();
    const std::string what =
        fmt::format("write rows {} to {} of dataset {}", rows.begin, rows.end, name_);
    const auto length = static_cast<std::size_t>(text_bytes_);
    std::vector<char> text(values.size() * length, '\0');
    for (std::size_t i = 0; i < values.size(); ++i) {
        THRESHER_CHECK_AS(FileError, values[i].size() <= length,
                          "{}: the text \"{}\" has {} bytes, dataset {} holds at most {}", file_,
                          values[i], values[i].size(), name_, length);
        std::memcpy(text.data() + i * length, values[i].data(), values[i].size());
    }
    if (values.empty()) return;
    const Selection selection = select_rows(handle_.id(), shape_, rows, file_, what);
    const Handle type(checked(H5Dget_type(handle_.id()), file_, what));
    checked(H5Dwrite(handle_.id(), type.id(), selection.memory.id(), selection.file.id(),
                     H5P_DEFAULT, text.data()),
            file_, what);
}

}  // namespace thresher::io::hdf5
