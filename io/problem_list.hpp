#pragma once

#include <fmt/format.h>

#include <string>

#include "src/base/check.hpp"

namespace thresher::io {

/// What is wrong with one input, collected so that a person sees it all at once: the first ten
/// problems, a line each.
class ProblemList {
  public:
    void add(const std::string& problem) {
        if (++count_ <= kShown) text_ += "\n  " + problem;
    }
    std::size_t count() const { return count_; }

    /// Throws FileError, `heading` and then the problems, if there are any.
    void report(const std::string& heading) const {
        THRESHER_CHECK_AS(FileError, count_ == 0, "{}:{}{}", heading, text_,
                          count_ > kShown ? "\n  ..." : "");
    }

  private:
    static constexpr std::size_t kShown = 10;
    std::string text_;
    std::size_t count_ = 0;
};

}  // namespace thresher::io
