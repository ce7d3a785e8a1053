#include "io/importers/byte_stream.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::size_t kLongestLine = std::size_t{64} << 20;

gzFile file_of(const std::shared_ptr<void>& file) { return static_cast<gzFile>(file.get()); }

}  // namespace

ByteStream::ByteStream(const std::string& path) : path_(path) {
    THRESHER_CHECK_AS(FileError, !std::filesystem::is_directory(path),
                      "{}: is a directory, a file was expected", path);
    errno = 0;
    gzFile opened = ::gzopen(path.c_str(), "rb");
    THRESHER_CHECK_AS(FileError, opened != nullptr, "{}: cannot be opened: {}", path,
                      std::strerror(errno));
    file_ = std::shared_ptr<void>(opened, [](void* file) { ::gzclose(static_cast<gzFile>(file)); });
    ::gzbuffer(opened, 1U << 18);
}

std::size_t ByteStream::read(void* buffer, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
        const auto step = static_cast<unsigned>(std::min<std::size_t>(size - done, 1U << 30));
        const int count = ::gzread(file_of(file_), static_cast<char*>(buffer) + done, step);
        int code = Z_OK;
        const char* reason = ::gzerror(file_of(file_), &code);
        THRESHER_CHECK_AS(FileError, count >= 0 && (code == Z_OK || code == Z_STREAM_END),
                          "{}: cannot be read: {}; the file is truncated or damaged", path_,
                          code == Z_ERRNO ? std::strerror(errno) : reason);
        if (count == 0) break;
        done += static_cast<std::size_t>(count);
    }
    return done;
}

void ByteStream::read_exactly(void* buffer, std::size_t size, const std::string& what) {
    const std::size_t count = read(buffer, size);
    THRESHER_CHECK_AS(FileError, count == size,
                      "{}: ends within {} ({} of {} bytes); the file is truncated", path_, what,
                      count, size);
}

void ByteStream::skip(std::int64_t size) {
    std::vector<char> scrap(std::size_t{1} << 16);
    while (size > 0) {
        const auto step = std::min<std::int64_t>(size, static_cast<std::int64_t>(scrap.size()));
        read_exactly(scrap.data(), static_cast<std::size_t>(step), "a part to skip");
        size -= step;
    }
}

bool ByteStream::read_line(std::string& line) {
    line.clear();
    char piece[1 << 14];
    while (::gzgets(file_of(file_), piece, sizeof piece) != nullptr) {
        line += piece;
        THRESHER_CHECK_AS(FileError, line.size() <= kLongestLine,
                          "{}: has a line of more than {} bytes; is it a text file?", path_,
                          kLongestLine);
        if (!line.empty() && line.back() == '\n') break;
    }
    char nothing = 0;
    if (line.empty()) return read(&nothing, 1) != 0;  // reports damaged data
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    return true;
}

}  // namespace thresher::io
