#pragma once

// Which numbers an option takes, with errors that say so: those of CLI11 print the largest double.

#include <CLI/CLI.hpp>

namespace thresher::jobs {

CLI::Validator above_zero();
CLI::Validator zero_or_more();

}  // namespace thresher::jobs
