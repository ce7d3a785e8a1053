#pragma once

// The process's log, on stderr: rank 0's lines, or every rank's where asked. stdout is for results.

#include <spdlog/spdlog.h>

#include <string>

namespace thresher {

/// `level`: trace, debug, info, warning, error or off; throws UsageError on any other. Ranks other
/// than 0 print warnings and errors only, unless `all_ranks`. `log_file`, if not empty, gets rank
/// 0's lines as well. Local.
void start_log(const std::string& level, int rank, bool all_ranks,
               const std::string& log_file = "");

namespace log = ::spdlog;

}  // namespace thresher
