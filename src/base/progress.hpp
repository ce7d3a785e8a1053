#pragma once

// Progress of long work: a bar with rate and time left on a terminal, a plain line every so often
// elsewhere. Only rank 0 draws.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace thresher {

enum class ProgressStyle { automatic, bar, plain, none };

/// "auto", "bar", "plain", "none"; throws UsageError naming the allowed ones.
ProgressStyle progress_style(const std::string& name);

/// How far work has come. The texts live as long as the call that passes them.
struct ProgressNow {
    std::string_view title, unit, note;
    std::int64_t done = 0, total = 0;
    double rate = 0.0;  ///< units a second
};

class Progress {
  public:
    /// `unit` is what is counted ("rows", "steps"). `draws` is false on ranks other than 0.
    /// `listener` is told of every update, whatever is drawn.
    Progress(std::string title, std::int64_t total, std::string unit, ProgressStyle style,
             bool draws, std::function<void(const ProgressNow&)> listener = {});
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// `done` so far; redraws at most ten times a second (a plain line: every 10 s). `note` is
    /// shown behind the rate, for example "loss 0.31".
    void update(std::int64_t done, const std::string& note = "");
    void finish();

  private:
    void draw(bool last);
    double elapsed_s() const;
    double rate() const;

    using Clock = std::chrono::steady_clock;
    std::string title_, unit_, note_;
    std::int64_t total_, done_ = 0, first_ = -1;
    ProgressStyle style_;
    std::function<void(const ProgressNow&)> listener_;
    bool finished_ = false, drawn_ = false;
    Clock::time_point start_, next_draw_;
};

}  // namespace thresher
