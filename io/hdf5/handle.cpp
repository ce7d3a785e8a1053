#include "io/hdf5/handle.hpp"

#include <hdf5.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "src/base/check.hpp"

namespace thresher::io::hdf5 {

namespace {

/// Every handle closes itself. What the library would still hold at exit is a file that could not
/// be written (a full disk), and it crashes trying again. Said before main(), because even a
/// constant such as H5F_ACC_RDONLY is a call that starts the library.
[[maybe_unused]] const herr_t kNothingAtExit = H5dont_atexit();

}  // namespace

std::unique_lock<std::recursive_mutex> lock() {
    static std::recursive_mutex mutex;
    static const bool silenced = [] {
        const std::lock_guard guard(mutex);
        H5open();
        return H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0;
    }();
    static_cast<void>(silenced);
    return std::unique_lock(mutex);
}

Handle& Handle::operator=(Handle&& other) noexcept {
    if (this != &other) {
        reset();
        id_ = other.id_;
        other.id_ = -1;
    }
    return *this;
}

void Handle::reset() noexcept {
    if (id_ >= 0) {
        const auto guard = lock();
        H5Idec_ref(id_);
        id_ = -1;
    }
}

namespace {

/// The stack is walked from the innermost frame; that one knows the reason.
herr_t keep_first(unsigned, const H5E_error2_t* error, void* text) {
    auto& message = *static_cast<std::string*>(text);
    if (error->desc != nullptr && message.size() < 400) {
        if (!message.empty()) message += "; ";
        message += error->desc;
    }
    return 0;
}

/// Where the system said why ("..., error message = 'No space left on device', ..."), that alone.
std::string system_reason(const std::string& message) {
    const std::string mark = "error message = '";
    const std::size_t begin = message.find(mark);
    if (begin == std::string::npos) return message;
    const std::size_t end = message.find('\'', begin + mark.size());
    return message.substr(begin + mark.size(), end - begin - mark.size());
}

/// After a write that failed (a full disk), the library cannot close the file: it would write
/// again, fail again, and at exit crash on what it still holds. The file will be thrown away, so
/// its descriptor is pointed at memory, where the rest can be written and closed. Files open
/// through MPI-IO have no descriptor of their own and are left alone.
void abandon_writes() {
    std::array<hid_t, 64> files{};
    const ssize_t count = H5Fget_obj_ids(H5F_OBJ_ALL, H5F_OBJ_FILE, files.size(), files.data());
    for (ssize_t i = 0; i < count && i < std::ssize(files); ++i) {
        const hid_t file = files[static_cast<std::size_t>(i)];
        unsigned intent = 0;
        if (H5Fget_intent(file, &intent) < 0 || (intent & H5F_ACC_RDWR) == 0) continue;
        const Handle access(H5Fget_access_plist(file));
        void* descriptor = nullptr;
        if (H5Pget_driver(access.id()) != H5FD_SEC2 ||
            H5Fget_vfd_handle(file, access.id(), &descriptor) < 0) {
            continue;
        }
        const int memory = memfd_create("thresher-abandoned", 0);
        if (memory < 0) continue;
        dup2(memory, *static_cast<int*>(descriptor));
        ::close(memory);
    }
}

}  // namespace

void fail_call(const std::string& file, const std::string& what) {
    const auto guard = lock();
    std::string reason;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &reason);
    H5Eclear2(H5E_DEFAULT);
    if (reason.find("write failed") != std::string::npos) abandon_writes();
    const bool no_locks = reason.find("lock file") != std::string::npos;
    fail<FileError>("{}: cannot {}: {}{}", file, what,
                    reason.empty() ? "HDF5 gives no reason" : system_reason(reason),
                    no_locks ? "; where the file system has no locks, set the environment variable "
                               "HDF5_USE_FILE_LOCKING=FALSE"
                             : "");
}

std::int64_t open_ids() {
    const auto guard = lock();
    hsize_t dataspaces = 0;
    H5Inmembers(H5I_DATASPACE, &dataspaces);
    return H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) + static_cast<std::int64_t>(dataspaces);
}

std::int64_t checked(std::int64_t result, const std::string& file, const std::string& what) {
    if (result < 0) fail_call(file, what);
    return result;
}

}  // namespace thresher::io::hdf5
