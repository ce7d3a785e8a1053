#include "io/hdf5/handle.hpp"

#include <hdf5.h>

#include "src/base/check.hpp"

namespace thresher::io::hdf5 {

std::unique_lock<std::recursive_mutex> lock() {
    static std::recursive_mutex mutex;
    static const bool silenced = [] {
        const std::lock_guard guard(mutex);
        // Every handle closes itself. What the library would still hold at exit is a file that
        // could not be written (a full disk), and it crashes trying again.
        H5dont_atexit();
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

}  // namespace

void fail_call(const std::string& file, const std::string& what) {
    const auto guard = lock();
    std::string reason;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &reason);
    H5Eclear2(H5E_DEFAULT);
    fail<FileError>("{}: cannot {}: {}", file, what,
                    reason.empty() ? "HDF5 gives no reason" : reason);
}

std::int64_t checked(std::int64_t result, const std::string& file, const std::string& what) {
    if (result < 0) fail_call(file, what);
    return result;
}

}  // namespace thresher::io::hdf5
