#include "src/base/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "src/base/check.hpp"

namespace thresher {

namespace {

bool stderr_is_terminal() {
    const char* terminal = std::getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && terminal != nullptr && std::string(terminal) != "dumb";
}

std::string clock_text(double seconds) {
    const auto whole = static_cast<std::int64_t>(std::llround(seconds));
    if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string rate_text(double rate, const std::string& unit) {
    if (rate >= 1e7) return fmt::format("{:.1f} M {}/s", rate / 1e6, unit);
    if (rate >= 1e4) return fmt::format("{:.1f} k {}/s", rate / 1e3, unit);
    if (rate >= 100) return fmt::format("{:.0f} {}/s", rate, unit);
    return fmt::format("{:.2g} {}/s", rate, unit);
}

}  // namespace

ProgressStyle progress_style(const std::string& name) {
    if (name == "auto") return ProgressStyle::automatic;
    if (name == "bar") return ProgressStyle::bar;
    if (name == "plain") return ProgressStyle::plain;
    if (name == "none") return ProgressStyle::none;
    fail<UsageError>("--progress \"{}\" is unknown; allowed: auto, bar, plain, none", name);
}

Progress::Progress(std::string title, std::int64_t total, std::string unit, ProgressStyle style,
                   bool draws, std::function<void(const ProgressNow&)> listener)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      style_(draws ? style : ProgressStyle::none),
      listener_(std::move(listener)),
      start_(Clock::now()),
      next_draw_(start_) {
    if (style_ == ProgressStyle::automatic) {
        style_ = stderr_is_terminal() ? ProgressStyle::bar : ProgressStyle::plain;
    }
    if (style_ == ProgressStyle::plain) next_draw_ += std::chrono::seconds(10);
}

Progress::~Progress() {
    // Destroyed without finish(): the work ended early, so the line is closed and nothing claimed.
    if (!finished_ && drawn_ && style_ == ProgressStyle::bar) std::fputc('\n', stderr);
}

void Progress::update(std::int64_t done, const std::string& note) {
    if (finished_ || (style_ == ProgressStyle::none && !listener_)) return;
    const auto now = Clock::now();
    if (first_ < 0) {
        // A resumed job starts in the middle; what was done before does not count for the rate.
        first_ = done;
        start_ = now;
    }
    done_ = done;
    note_ = note;
    if (listener_) listener_({title_, unit_, note_, done_, total_, rate()});
    if (style_ == ProgressStyle::none || now < next_draw_) return;
    next_draw_ = now + (style_ == ProgressStyle::bar ? std::chrono::milliseconds(100)
                                                     : std::chrono::milliseconds(10'000));
    draw(false);
}

void Progress::finish() {
    if (style_ == ProgressStyle::none || finished_) return;
    finished_ = true;
    draw(true);
}

double Progress::elapsed_s() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
}

double Progress::rate() const {
    const double elapsed = elapsed_s();
    const double advanced = static_cast<double>(done_ - std::max<std::int64_t>(first_, 0));
    return elapsed > 0 ? advanced / elapsed : 0.0;
}

void Progress::draw(bool last) {
    const double elapsed = elapsed_s();
    const double rate = this->rate();
    const double share =
        total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1.0;

    std::string text = fmt::format("{:3.0f} % {}/{} {}", 100 * share, done_, total_, unit_);
    if (rate > 0) text += "  " + rate_text(rate, unit_);
    if (last) {
        text += "  in " + clock_text(elapsed);
    } else if (rate > 0) {
        text += "  " + clock_text(static_cast<double>(total_ - done_) / rate) + " left";
    }
    if (!note_.empty()) text += "  " + note_;

    if (style_ == ProgressStyle::bar) {
        constexpr int kWidth = 24;
        const int filled = std::clamp(static_cast<int>(share * kWidth), 0, kWidth);
        const std::string bar(static_cast<std::size_t>(filled), '#');
        fmt::print(stderr, "\r{} [{:<{}}] {}\033[K{}", title_, bar, kWidth, text, last ? "\n" : "");
    } else {
        fmt::print(stderr, "{}: {}\n", title_, text);
    }
    std::fflush(stderr);
    drawn_ = true;
}

}  // namespace thresher
