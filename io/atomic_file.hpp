#pragma once

// Files that appear whole or not at all: written beside their place under the name `name.tmp`,
// closed, fsynced, renamed, and the directory fsynced. A job that dies leaves at most a .tmp file.

#include <optional>
#include <string>
#include <string_view>

#include "io/descriptor.hpp"

namespace thresher::io {

enum class Overwrite { no, yes };

/// Where `path` is written before it is renamed.
std::string temporary_path(const std::string& path);

/// Throws FileError where `path` exists and `overwrite` is no, where it is a directory, or where
/// its directory is missing or not writable. Leaves temporary_path() alone, which another job may
/// be writing. Local.
void check_place(const std::string& path, Overwrite overwrite);

/// Reserves `path`. The caller writes and closes temporary(), then calls commit(). Without commit()
/// the temporary file is removed by the destructor. Of two jobs that write one path at the same
/// time, the one that began last does. Local: with several ranks, the root's business.
class AtomicFile {
  public:
    /// Throws FileError as check_place().
    AtomicFile(std::string path, Overwrite overwrite);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    const std::string& path() const { return path_; }
    const std::string& temporary() const { return temporary_; }

    /// Fsyncs and renames. Throws FileError with the system's reason, or where another job has put
    /// its file in the place of temporary().
    void commit();

  private:
    bool is_own() const;

    std::string path_, temporary_;
    std::optional<Descriptor> made_;  ///< the temporary file that was made here, kept open
    bool committed_ = false;
};

/// Writes `text` as a whole file, atomically. Throws FileError. Local.
void write_file(const std::string& path, std::string_view text, Overwrite overwrite);

/// Writes `text` plainly and fsyncs it, for files inside a directory that is renamed as a whole.
/// Local.
void write_file_synced(const std::string& path, std::string_view text);

/// The whole file. Throws FileError with the system's reason. Local.
std::string read_file(const std::string& path);

/// Takes blocks on the disk for the whole length of an existing file, where the file system can.
/// Throws FileError where there are too few. Local.
void reserve_space(const std::string& path);

/// Makes what was renamed in `directory` durable. Throws FileError. Local.
void sync_directory(const std::string& directory);

}  // namespace thresher::io
