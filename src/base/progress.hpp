#pragma once

// Progress of long work: a bar with rate and time left on a terminal, a plain line every so often
// elsewhere. Only rank 0 draws.

#include <chrono>
#include <cstdint>
#include <string>

namespace thresher {

enum class ProgressStyle { automatic, bar, plain, none };

/// "auto", "bar", "plain", "none"; throws UsageError naming the allowed ones.
ProgressStyle progress_style(const std::string& name);

class Progress {
  public:
    /// `unit` is what is counted ("rows", "steps"). `draws` is false on ranks other than 0.
    Progress(std::string title, std::int64_t total, std::string unit, ProgressStyle style,
             bool draws);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// `done` so far; redraws at most ten times a second (a plain line: every 10 s). `note` is
    /// shown behind the rate, for example "loss 0.31".
    void update(std::int64_t done, const std::string& note = "");
    void finish();

  private:
    void draw(bool last);

    using Clock = std::chrono::steady_clock;
    std::string title_, unit_, note_;
    std::int64_t total_, done_ = 0, first_ = -1;
    ProgressStyle style_;
    bool finished_ = false, drawn_ = false;
    Clock::time_point start_, next_draw_;
};

}  // namespace thresher
