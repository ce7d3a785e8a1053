#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <sstream>
#include <thread>

#include "io/atomic_file.hpp"
#include "io/run_directory.hpp"
#include "src/base/check.hpp"
#include "src/base/host_name.hpp"
#include "src/base/log.hpp"

namespace thresher::io {

namespace {

struct Holder {
    std::string host;
    long process = 0;
};

Holder holder_of(const std::string& path) {
    Holder holder;
    std::istringstream(read_file(path)) >> holder.host >> holder.process;
    return holder;
}

[[noreturn]] void refuse(const std::string& path, const Holder& holder, const char* advice) {
    fail<FileError>("{}: the run directory is in use by process {} on host {}; {}", path,
                    holder.process, holder.host.empty() ? "(unknown)" : holder.host, advice);
}

}  // namespace

RunLock::RunLock(const std::string& directory) : path_(directory + "/lock") {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    THRESHER_CHECK_AS(FileError, descriptor_ >= 0, "{}: the run directory cannot be locked: {}",
                      path_, std::strerror(errno));
    // Tried again, as one who only looks (is_locked) holds it for an instant.
    bool locked = false;
    int reason = 0;
    for (int attempt = 0; attempt < 3 && !locked; ++attempt) {
        if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
        reason = errno;
        if (reason != EWOULDBLOCK) break;
    }
    const Holder holder = holder_of(path_);
    if (!locked) {
        ::close(std::exchange(descriptor_, -1));
        if (reason == EWOULDBLOCK) refuse(path_, holder, "wait for it, or choose another --run");
        // No flock on this file system: the name in the file is all there is.
        const bool is_dead = holder.process == 0 ||
                             (holder.host == host_name() &&
                              ::kill(static_cast<pid_t>(holder.process), 0) != 0 && errno == ESRCH);
        if (!is_dead) refuse(path_, holder, "if it has ended, remove this file");
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
        "{}: the run directory cannot be locked: {}", path_, std::strerror(errno));
}

bool is_locked(const std::string& directory, bool otherwise) {
    const int descriptor = ::open((directory + "/lock").c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return errno == ENOENT ? false : otherwise;
    const bool locked = ::flock(descriptor, LOCK_SH | LOCK_NB) == 0;
    const int reason = errno;
    ::close(descriptor);
    if (locked) return false;
    return reason == EWOULDBLOCK ? true : otherwise;
}

RunLock::~RunLock() { release(); }

RunLock::RunLock(RunLock&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

RunLock& RunLock::operator=(RunLock&& other) noexcept {
    if (this != &other) {
        release();
        path_ = std::move(other.path_);
        descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
}

void RunLock::release() {
    if (descriptor_ < 0) return;
    // Emptied, not removed: another job may have the file open already and be about to lock it.
    if (::ftruncate(descriptor_, 0) != 0) log::debug("{}: {}", path_, std::strerror(errno));
    ::close(std::exchange(descriptor_, -1));
}

}  // namespace thresher::io
