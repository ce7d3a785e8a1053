#pragma once

// Ownership of HDF5 ids, the library's lock, and its errors as exceptions.

#include <cstdint>
#include <mutex>
#include <string>

namespace thresher::io::hdf5 {

/// The C library is not thread-safe; every call, closing included, holds this lock. Recursive.
std::unique_lock<std::recursive_mutex> lock();

/// One HDF5 id of any kind; gives its reference back when destroyed. Move-only.
class Handle {
  public:
    Handle() = default;
    explicit Handle(std::int64_t id) : id_(id) {}
    ~Handle() { reset(); }
    Handle(Handle&& other) noexcept : id_(other.id_) { other.id_ = -1; }
    Handle& operator=(Handle&& other) noexcept;

    std::int64_t id() const { return id_; }
    bool valid() const { return id_ >= 0; }
    void reset() noexcept;

  private:
    std::int64_t id_ = -1;
};

/// How many files, groups, datasets, named types, attributes and dataspaces are open in this
/// process: 0 once all handles are gone. Local.
std::int64_t open_ids();

/// Throws FileError: "FILE: cannot WHAT: the library's own innermost message".
[[noreturn]] void fail_call(const std::string& file, const std::string& what);

/// `result`, or fail_call where it is negative (what every HDF5 function returns on failure).
std::int64_t checked(std::int64_t result, const std::string& file, const std::string& what);

}  // namespace thresher::io::hdf5
