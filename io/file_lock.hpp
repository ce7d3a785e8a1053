#pragma once

// A file that one process holds at a time.

#include <string>
#include <string_view>

namespace thresher::io {

/// flock on a file, which names host and process. Move-only.
class FileLock {
  public:
    /// Throws FileError naming the host and the process that hold `what`, and `otherwise`, what to
    /// do but wait. A lock whose process is dead is taken over. Local: the root's business.
    FileLock(std::string path, std::string_view what, std::string_view otherwise);
    ~FileLock();
    FileLock(FileLock&& other) noexcept;
    FileLock& operator=(FileLock&& other) noexcept;

    /// Removes the file and lets go.
    void remove();

  private:
    explicit FileLock(std::string path);  ///< holds nothing yet
    void release();
    std::string path_;
    int descriptor_ = -1;
};

/// False where nobody holds the lock at `path`, as far as this host can tell; `otherwise` where its
/// file system has no locks. Local.
bool is_locked(const std::string& path, bool otherwise);

}  // namespace thresher::io
