#include "io/hdf5/file.hpp"

#include <hdf5.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "io/hdf5/types.hpp"
#include "src/base/check.hpp"

namespace thresher::io::hdf5 {

namespace {

Handle access_properties(bool locking) {
    Handle properties(H5Pcreate(H5P_FILE_ACCESS));
    H5Pset_libver_bounds(properties.id(), H5F_LIBVER_V18, H5F_LIBVER_LATEST);
#if H5_VERSION_GE(1, 10, 7) && !(H5_VERSION_GE(1, 12, 0) && !H5_VERSION_GE(1, 12, 1))
    // Files are immutable once they have their name, and locks do not work on every shared file
    // system.
    H5Pset_file_locking(properties.id(), locking, true);
#else
    static_cast<void>(locking);
#endif
    return properties;
}

/// Why H5Fopen refused, as far as the first bytes tell.
[[noreturn]] void fail_open(const std::string& path) {
    errno = 0;
    std::ifstream stream(path, std::ios::binary);
    THRESHER_CHECK_AS(FileError, stream.good(), "{}: cannot be opened: {}", path,
                      std::strerror(errno));
    THRESHER_CHECK_AS(FileError, !std::filesystem::is_directory(path),
                      "{}: is a directory, expected an HDF5 file", path);
    if (stream.peek() == std::ifstream::traits_type::eof()) {
        fail<FileError>("{}: is empty, expected an HDF5 file", path);
    }
    if (has_signature(path)) {
        const auto guard = lock();
        H5Eclear2(H5E_DEFAULT);
        const Handle properties = access_properties(false);
        const Handle retry(H5Fopen(path.c_str(), H5F_ACC_RDONLY, properties.id()));
        fail_call(path, "be opened (the file is truncated or damaged; copy or make it again)");
    }
    fail<FileError>("{}: is no HDF5 file (it begins with other bytes)", path);
}

File open_file(const std::string& path, unsigned mode) {
    const auto guard = lock();
    H5Eclear2(H5E_DEFAULT);
    const Handle properties = access_properties(mode != H5F_ACC_RDONLY);
    Handle handle(H5Fopen(path.c_str(), mode, properties.id()));
    if (!handle.valid()) fail_open(path);
    return File(std::move(handle), path);
}

}  // namespace

bool has_signature(const std::string& path) {
    char signature[8] = {};
    std::ifstream stream(path, std::ios::binary);
    stream.read(signature, sizeof signature);
    return std::memcmp(signature, "\x89HDF\r\n\x1a\n", sizeof signature) == 0;
}

File File::open(const std::string& path) { return open_file(path, H5F_ACC_RDONLY); }
File File::open_writable(const std::string& path) { return open_file(path, H5F_ACC_RDWR); }

File File::create(const std::string& path) {
    const auto guard = lock();
    H5Eclear2(H5E_DEFAULT);
    const Handle properties = access_properties(true);
    // Small writes go to the disk at once, and fail there; kept back, they would fail when the
    // dataset is closed, which leaves the library with half a dataset and crashes it at the end.
    H5Pset_sieve_buf_size(properties.id(), 0);
    return File(Handle(checked(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, properties.id()),
                               path, "be created")),
                path);
}

bool File::has(const std::string& name) const {
    const auto guard = lock();
    // H5Lexists asks for every group on the way to be there.
    for (std::size_t slash = name.find('/', 1); slash != std::string::npos;
         slash = name.find('/', slash + 1)) {
        if (H5Lexists(handle_.id(), name.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
    }
    return name == "/" || H5Lexists(handle_.id(), name.c_str(), H5P_DEFAULT) > 0;
}

bool File::is_dataset(const std::string& name) const {
    const auto guard = lock();
    if (!has(name)) return false;
    const Handle object(H5Oopen(handle_.id(), name.c_str(), H5P_DEFAULT));
    H5Eclear2(H5E_DEFAULT);
    return object.valid() && H5Iget_type(object.id()) == H5I_DATASET;
}

std::vector<std::string> File::list(const std::string& group) const {
    const auto guard = lock();
    std::vector<std::string> names;
    if (!has(group)) return names;
    const auto collect = [](hid_t, const char* name, const H5L_info_t*, void* into) -> herr_t {
        static_cast<std::vector<std::string>*>(into)->emplace_back(name);
        return 0;
    };
    const Handle opened(
        checked(H5Gopen2(handle_.id(), group.c_str(), H5P_DEFAULT), path_, "open group " + group));
    checked(H5Literate(opened.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect, &names), path_,
            "list group " + group);
    return names;
}

Dataset File::dataset(const std::string& name) const {
    const auto guard = lock();
    THRESHER_CHECK_AS(FileError, has(name), "{}: has no dataset {}; it has {}", path_, name,
                      fmt::join(list("/"), ", "));
    THRESHER_CHECK_AS(FileError, is_dataset(name), "{}: {} is no dataset", path_, name);
    return Dataset(Handle(checked(H5Dopen2(handle_.id(), name.c_str(), H5P_DEFAULT), path_,
                                  "open dataset " + name)),
                   path_, name);
}

Dataset File::create_dataset(const DatasetSpec& spec) {
    const auto guard = lock();
    const std::string what = "create dataset " + spec.name;
    std::vector<hsize_t> extents, limits, chunk;
    for (std::int64_t extent : spec.shape) extents.push_back(static_cast<hsize_t>(extent));
    limits = chunk = extents;
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE)), links(H5Pcreate(H5P_LINK_CREATE));
    checked(H5Pset_create_intermediate_group(links.id(), 1), path_, what);
    if (spec.chunk_rows > 0) {
        limits[0] = H5S_UNLIMITED;
        chunk[0] = static_cast<hsize_t>(spec.chunk_rows);
        checked(H5Pset_chunk(creation.id(), static_cast<int>(chunk.size()), chunk.data()), path_,
                what);
    } else {
        checked(H5Pset_alloc_time(creation.id(), H5D_ALLOC_TIME_EARLY), path_, what);
        checked(H5Pset_fill_time(creation.id(), H5D_FILL_TIME_NEVER), path_, what);
    }
    const Handle type = make_file_type(spec.type, spec.text_bytes);
    const Handle space(
        checked(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), limits.data()),
                path_, what));
    Handle handle(checked(H5Dcreate2(handle_.id(), spec.name.c_str(), type.id(), space.id(),
                                     links.id(), creation.id(), H5P_DEFAULT),
                          path_, what));
    Dataset dataset(std::move(handle), path_, spec.name);
    if (!spec.description.empty()) write_attribute(dataset.ref(), "description", spec.description);
    if (!spec.unit.empty()) write_attribute(dataset.ref(), "unit", spec.unit);
    return dataset;
}

void File::create_group(const std::string& name) {
    const auto guard = lock();
    if (has(name)) return;
    const Handle links(H5Pcreate(H5P_LINK_CREATE));
    checked(H5Pset_create_intermediate_group(links.id(), 1), path_, "create group " + name);
    const Handle group(
        checked(H5Gcreate2(handle_.id(), name.c_str(), links.id(), H5P_DEFAULT, H5P_DEFAULT), path_,
                "create group " + name));
}

void File::flush() {
    const auto guard = lock();
    H5Eclear2(H5E_DEFAULT);
    checked(H5Fflush(handle_.id(), H5F_SCOPE_LOCAL), path_, "write it out");
}

void File::close() {
    const auto guard = lock();
    if (!handle_.valid()) return;
    // First: a failed H5Fclose would leave the library with a file it cannot close.
    flush();
    const std::int64_t id = handle_.id();
    checked(H5Fclose(id), path_, "close it");
    handle_ = Handle();
}

}  // namespace thresher::io::hdf5
