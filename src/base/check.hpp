#pragma once

// Errors and the checks that raise them. A message says what failed, the value found, what is
// allowed and what to do, in lower case and without a full stop; rank and place are added where it
// is printed.

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace thresher {

/// What the process exits with when an error reaches main().
enum class ExitCode : int {
    success = 0,
    failure = 1,  ///< a broken file, a full disk, a bad value in the data
    usage = 2,    ///< a bad option or a combination of options that does not fit
    requeue = 85  ///< checkpointed after a stop signal; submit again with --resume
};

/// Base of every error that Thresher raises on purpose.
class Error : public std::runtime_error {
  public:
    explicit Error(const std::string& message, ExitCode exit_code = ExitCode::failure)
        : std::runtime_error(message), exit_code_(exit_code) {}

    ExitCode exit_code() const { return exit_code_; }

  private:
    ExitCode exit_code_;
};

/// Something on disk is missing, truncated, of the wrong shape or cannot be written.
class FileError : public Error {
  public:
    explicit FileError(const std::string& message) : Error(message) {}
};

/// An option's value, or a combination of options, is not allowed.
class UsageError : public Error {
  public:
    explicit UsageError(const std::string& message) : Error(message, ExitCode::usage) {}
};

/// A stop signal was obeyed: the state is in a checkpoint and the job wants to be run again.
class Requeue : public Error {
  public:
    explicit Requeue(const std::string& message) : Error(message, ExitCode::requeue) {}
};

template <class Exception = Error, class... Values>
[[noreturn]] void fail(fmt::format_string<Values...> message, Values&&... values) {
    throw Exception(fmt::format(message, std::forward<Values>(values)...));
}

}  // namespace thresher

/// Throws thresher::Error unless `condition` holds. On in release builds as well.
#define THRESHER_CHECK(condition, ...)                        \
    do {                                                      \
        if (!(condition)) [[unlikely]] {                      \
            ::thresher::fail<::thresher::Error>(__VA_ARGS__); \
        }                                                     \
    } while (false)

/// As THRESHER_CHECK, with the type of error to throw first.
#define THRESHER_CHECK_AS(exception, condition, ...)  \
    do {                                              \
        if (!(condition)) [[unlikely]] {              \
            ::thresher::fail<exception>(__VA_ARGS__); \
        }                                             \
    } while (false)
