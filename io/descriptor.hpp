#pragma once

// POSIX files whose every call is checked, with the system's reason in the error. Used inside io.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace thresher::io {

/// The directory part of `path`; "." where it has none.
std::string directory_of(const std::string& path);

/// An open file. Move is not needed; all functions throw FileError naming the file.
class Descriptor {
  public:
    Descriptor(std::string path, int flags);
    ~Descriptor();
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    int get() const { return descriptor_; }
    /// Bytes read, 0 at the end.
    std::size_t read(char* buffer, std::size_t size);
    void read_exactly(char* buffer, std::size_t size);
    void seek(std::int64_t offset);
    void write(std::string_view bytes);
    /// Fsyncs. A file system that cannot (some answer EINVAL for directories) is let pass.
    void sync();
    void close();

  private:
    std::string path_;
    int descriptor_;
};

}  // namespace thresher::io
