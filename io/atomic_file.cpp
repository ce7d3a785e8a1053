#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "io/descriptor.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

std::string temporary_path(const std::string& path) { return path + ".tmp"; }

namespace {

void check_name(const std::string& path, Overwrite overwrite) {
    THRESHER_CHECK_AS(FileError, !path.empty(), "the name of a file to write is empty");
    THRESHER_CHECK_AS(FileError, !fs::is_directory(path),
                      "{}: is a directory, a file is to be written; choose another name", path);
    THRESHER_CHECK_AS(FileError, !fs::is_directory(temporary_path(path)),
                      "{}: is a directory where {} is written first; move it away",
                      temporary_path(path), path);
    THRESHER_CHECK_AS(FileError, overwrite == Overwrite::yes || !fs::exists(path),
                      "{}: exists already; pass --overwrite to replace it, or choose another name",
                      path);
    const std::string directory = directory_of(path);
    THRESHER_CHECK_AS(FileError, fs::is_directory(directory),
                      "{}: cannot be written: the directory {} does not exist; make it first", path,
                      directory);
}

}  // namespace

void check_place(const std::string& path, Overwrite overwrite) {
    check_name(path, overwrite);
    std::string probe = path + ".XXXXXX";
    const int descriptor = ::mkstemp(probe.data());
    THRESHER_CHECK_AS(FileError, descriptor >= 0, "{}: cannot be written: {}", path,
                      std::strerror(errno));
    ::close(descriptor);
    ::unlink(probe.c_str());
}

AtomicFile::AtomicFile(std::string path, Overwrite overwrite)
    : path_(std::move(path)), temporary_(temporary_path(path_)) {
    check_name(path_, overwrite);
    // A file of its own, not the one that another job may be writing.
    ::unlink(temporary_.c_str());
    made_.emplace(temporary_, O_WRONLY | O_CREAT | O_TRUNC);
}

AtomicFile::~AtomicFile() {
    if (!committed_ && is_own()) ::unlink(temporary_.c_str());
}

bool AtomicFile::is_own() const {
    struct stat made {};
    struct stat there {};
    return ::fstat(made_->get(), &made) == 0 && ::stat(temporary_.c_str(), &there) == 0 &&
           made.st_ino == there.st_ino && made.st_dev == there.st_dev;
}

void AtomicFile::commit() {
    THRESHER_CHECK_AS(FileError, is_own(),
                      "{}: is written by another job too, which put its file in the place of {}; "
                      "give each job an output of its own",
                      path_, temporary_);
    Descriptor written(temporary_, O_RDONLY);
    written.sync();
    written.close();
    THRESHER_CHECK_AS(FileError, std::rename(temporary_.c_str(), path_.c_str()) == 0,
                      "{}: cannot be renamed to {}: {}", temporary_, path_, std::strerror(errno));
    committed_ = true;
    sync_directory(directory_of(path_));
}

void write_file_synced(const std::string& path, std::string_view text) {
    Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
    file.write(text);
    file.sync();
    file.close();
}

void write_file(const std::string& path, std::string_view text, Overwrite overwrite) {
    AtomicFile file(path, overwrite);
    Descriptor written(file.temporary(), O_WRONLY | O_TRUNC);
    written.write(text);
    written.close();
    file.commit();
}

std::string read_file(const std::string& path) {
    Descriptor file(path, O_RDONLY);
    std::string text;
    char buffer[1 << 16];
    while (const std::size_t count = file.read(buffer, sizeof buffer)) text.append(buffer, count);
    return text;
}

void reserve_space(const std::string& path) {
    Descriptor file(path, O_RDWR);
    const auto size = static_cast<off_t>(std::filesystem::file_size(path));
    if (size == 0 || fallocate(file.get(), 0, 0, size) == 0) return;
    const int reason = errno;
    if (reason == EOPNOTSUPP || reason == ENOSYS || reason == EINVAL) return;
    fail<FileError>("{}: cannot take {} bytes of disk: {}", path, size, std::strerror(reason));
}

void sync_directory(const std::string& directory) {
    Descriptor opened(directory, O_RDONLY | O_DIRECTORY);
    opened.sync();
}

}  // namespace thresher::io
