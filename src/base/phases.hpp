#pragma once

// Where the time went: seconds by phase (read, predict, score, select, write, wait...), added up
// under names.

#include <chrono>
#include <map>
#include <string>

namespace thresher {

class Phases {
  public:
    /// Adds the time until it is destroyed to one phase.
    class Timer {
      public:
        Timer(Phases& phases, std::string name)
            : phases_(phases), name_(std::move(name)), start_(std::chrono::steady_clock::now()) {}
        ~Timer() {
            phases_.add(
                name_,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
        }
        Timer(const Timer&) = delete;
        Timer& operator=(const Timer&) = delete;

      private:
        Phases& phases_;
        std::string name_;
        std::chrono::steady_clock::time_point start_;
    };

    Timer time(std::string name) { return Timer(*this, std::move(name)); }
    void add(const std::string& name, double seconds) { seconds_[name] += seconds; }
    const std::map<std::string, double>& seconds() const { return seconds_; }

  private:
    std::map<std::string, double> seconds_;
};

}  // namespace thresher
