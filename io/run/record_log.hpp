#pragma once

// The records of a lookup table that is still being built.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/descriptor.hpp"
#include "io/file_lock.hpp"

namespace thresher::io {

/// Records by number, appended to a file as they are made. What a job that was killed had written
/// is there when the next one opens it. Local: the root's business.
class RecordLog {
  public:
    struct Record {
        double seconds = 0.0;
        std::vector<double> metrics;
    };

    /// Opens `path` or begins it, and holds `path`.lock until it ends. `plan` says what the records
    /// are of. Throws FileError where the file was begun under another plan, or another job holds
    /// it.
    RecordLog(std::string path, const std::string& plan, std::int64_t metrics_each);
    RecordLog(const RecordLog&) = delete;
    RecordLog& operator=(const RecordLog&) = delete;

    const std::map<std::int64_t, Record>& records() const { return records_; }
    /// Appends records [first, first + count) of `numbers`, with `metrics` [numbers, each].
    void append(std::span<const std::int64_t> numbers, std::span<const double> metrics,
                double seconds_each);
    /// Its records are in a table now. Removes both files.
    void remove();

  private:
    std::string path_;
    FileLock lock_;
    std::int64_t metrics_each_;
    std::optional<Descriptor> file_;
    std::map<std::int64_t, Record> records_;
};

}  // namespace thresher::io
