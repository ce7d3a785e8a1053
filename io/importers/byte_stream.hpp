#pragma once

// Files read front to back, gzipped or not. Used by the importers.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace thresher::io {

class ByteStream {
  public:
    /// Throws FileError. gzip is recognised by its first bytes, whatever the name.
    explicit ByteStream(const std::string& path);

    const std::string& path() const { return path_; }
    /// Bytes read, fewer than `size` only at the end. Throws FileError, also for damaged gzip data.
    std::size_t read(void* buffer, std::size_t size);
    /// Throws FileError naming what is missing where the file ends early.
    void read_exactly(void* buffer, std::size_t size, const std::string& what);
    void skip(std::int64_t size);
    /// The next line without its end; false at the end of the file. Lines are at most 64 MiB.
    bool read_line(std::string& line);

  private:
    std::string path_;
    std::shared_ptr<void> file_;
};

}  // namespace thresher::io
