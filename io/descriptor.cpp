#include "io/descriptor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "src/base/check.hpp"

namespace thresher::io {

std::string directory_of(const std::string& path) {
    std::filesystem::path given(path);
    if (!given.has_filename()) given = given.parent_path();  // "pool/" is pool
    const std::string parent = given.parent_path().string();
    return parent.empty() ? "." : parent;
}

Descriptor::Descriptor(std::string path, int flags)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), flags | O_CLOEXEC, 0666)) {
    THRESHER_CHECK_AS(FileError, descriptor_ >= 0, "{}: cannot be {}: {}", path_,
                      (flags & O_ACCMODE) == O_RDONLY ? "opened" : "written", std::strerror(errno));
}

Descriptor::~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

std::size_t Descriptor::read(char* buffer, std::size_t size) {
    for (;;) {
        const ssize_t count = ::read(descriptor_, buffer, size);
        if (count >= 0) return static_cast<std::size_t>(count);
        THRESHER_CHECK_AS(FileError, errno == EINTR, "{}: cannot be read: {}", path_,
                          std::strerror(errno));
    }
}

void Descriptor::read_exactly(char* buffer, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
        const std::size_t count = read(buffer + done, size - done);
        THRESHER_CHECK_AS(FileError, count > 0, "{}: ends after {} of {} bytes; it is truncated",
                          path_, done, size);
        done += count;
    }
}

void Descriptor::seek(std::int64_t offset) {
    THRESHER_CHECK_AS(FileError, ::lseek(descriptor_, offset, SEEK_SET) == offset,
                      "{}: cannot be read at byte {}: {}", path_, offset, std::strerror(errno));
}

void Descriptor::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
        if (count < 0) {
            THRESHER_CHECK_AS(FileError, errno == EINTR, "{}: cannot be written: {}", path_,
                              std::strerror(errno));
            continue;
        }
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
}

void Descriptor::sync() {
    THRESHER_CHECK_AS(FileError, ::fsync(descriptor_) == 0 || errno == EINVAL || errno == ENOTSUP,
                      "{}: cannot be made durable: {}", path_, std::strerror(errno));
}

void Descriptor::close() {
    const int closing = std::exchange(descriptor_, -1);
    THRESHER_CHECK_AS(FileError, ::close(closing) == 0, "{}: cannot be closed: {}", path_,
                      std::strerror(errno));
}

}  // namespace thresher::io
