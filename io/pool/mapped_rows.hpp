#pragma once

// Rows of a file that are used where the system keeps them, instead of being read into memory of
// their own.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace thresher::io {

/// A private mapping of part of a file: what is written to it stays in this process. Should the
/// file be cut short while it is mapped, the process ends with an error that names the file (the
/// system leaves no other way). Move-only.
class MappedRows {
  public:
    MappedRows() = default;
    /// `size_bytes` bytes from `offset` on. Throws FileError where they cannot be mapped. Local.
    MappedRows(const std::string& path, std::int64_t offset, std::size_t size_bytes);
    ~MappedRows();
    MappedRows(MappedRows&& other) noexcept;
    MappedRows& operator=(MappedRows&& other) noexcept;

    std::span<std::byte> bytes() const { return bytes_; }

  private:
    std::span<std::byte> bytes_;
};

}  // namespace thresher::io
