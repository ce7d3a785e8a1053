#include "io/file_lock.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

#include "src/base/check.hpp"
#include "src/base/host_name.hpp"
#include "src/base/log.hpp"

namespace thresher::io {

namespace {

struct Holder {
    std::string host;
    long process = 0;
};

/// Nobody where the file is gone by now.
Holder holder_of(const std::string& path) {
    Holder holder;
    std::ifstream(path) >> holder.host >> holder.process;
    return holder;
}

[[noreturn]] void refuse(const std::string& path, std::string_view what, const Holder& holder,
                         const std::string& advice) {
    fail<FileError>("{}: {} is in use by process {} on host {}; {}", path, what, holder.process,
                    holder.host.empty() ? "(unknown)" : holder.host, advice);
}

/// False where the file that was opened has been removed since, or replaced.
bool is_at(int descriptor, const std::string& path) {
    struct stat held {
    }, there{};
    return ::fstat(descriptor, &held) == 0 && ::stat(path.c_str(), &there) == 0 &&
           held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

}  // namespace

FileLock::FileLock(std::string path) : path_(std::move(path)) {}

// Delegates, so that the destructor closes the file where this throws.
FileLock::FileLock(std::string path, std::string_view what, std::string_view otherwise)
    : FileLock(std::move(path)) {
    bool locked = false;
    int reason = 0;
    do {  // whoever held it may remove the file between the two calls
        release();
        locked = false;
        descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        THRESHER_CHECK_AS(FileError, descriptor_ >= 0, "{}: {} cannot be locked: {}", path_, what,
                          std::strerror(errno));
        // Tried again, as one who only looks (is_locked) holds it for an instant.
        for (int attempt = 0; attempt < 3 && !locked; ++attempt) {
            if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
            locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
            reason = errno;
            if (reason != EWOULDBLOCK) break;
        }
    } while (locked && !is_at(descriptor_, path_));
    const Holder holder = holder_of(path_);
    if (!locked) {
        ::close(std::exchange(descriptor_, -1));
        if (reason == EWOULDBLOCK) {
            refuse(path_, what, holder, fmt::format("wait for it, or {}", otherwise));
        }
        // No flock on this file system: the name in the file is all there is.
        const bool is_dead = holder.process == 0 ||
                             (holder.host == host_name() &&
                              ::kill(static_cast<pid_t>(holder.process), 0) != 0 && errno == ESRCH);
        if (!is_dead) refuse(path_, what, holder, "if it has ended, remove this file");
        descriptor_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    }
    if (holder.process != 0) {
        log::info("{}: taking over from process {} on host {}, which has ended", path_,
                  holder.process, holder.host);
    }
    const std::string text = fmt::format("{} {}\n", host_name(), ::getpid());
    THRESHER_CHECK_AS(
        FileError,
        ::ftruncate(descriptor_, 0) == 0 &&
            std::cmp_equal(::pwrite(descriptor_, text.data(), text.size(), 0), text.size()),
        "{}: {} cannot be locked: {}", path_, what, std::strerror(errno));
}

bool is_locked(const std::string& path, bool otherwise) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return errno == ENOENT ? false : otherwise;
    const bool locked = ::flock(descriptor, LOCK_SH | LOCK_NB) == 0;
    const int reason = errno;
    ::close(descriptor);
    if (locked) return false;
    return reason == EWOULDBLOCK ? true : otherwise;
}

FileLock::~FileLock() { release(); }

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
    if (this != &other) {
        release();
        path_ = std::move(other.path_);
        descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
}

void FileLock::remove() {
    if (descriptor_ < 0) return;
    ::unlink(path_.c_str());
    ::close(std::exchange(descriptor_, -1));
}

void FileLock::release() {
    if (descriptor_ < 0) return;
    // Emptied, not removed: another job may have the file open already and be about to lock it.
    if (::ftruncate(descriptor_, 0) != 0) log::debug("{}: {}", path_, std::strerror(errno));
    ::close(std::exchange(descriptor_, -1));
}

}  // namespace thresher::io
