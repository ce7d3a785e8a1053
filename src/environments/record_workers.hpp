#pragma once

// Retraining shared out over ranks: the root hands out subsets in batches and takes what comes
// back, the others serve. A rank gets its next batches when it is done with earlier ones, so a slow
// one holds up nobody. The root works too, between messages. Building a table uses it, and whoever
// wants true metrics while it does something else.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "src/base/collective.hpp"
#include "src/base/messages.hpp"

namespace thresher {

class RecordWorkers {
  public:
    /// Fills `metrics` [Q, metrics_each] for the subsets [Q, size]. `question` is what the root
    /// passed to evaluate(): reward or test points, for example.
    using Evaluate =
        std::function<void(std::int64_t question, std::span<const std::int32_t> subsets,
                           std::int64_t size, std::span<double> metrics)>;
    /// Records [first, first + count) are there, and took so many seconds each. Says whether to go
    /// on.
    using Done = std::function<bool(std::int64_t first, std::int64_t count, double seconds)>;

    static constexpr std::int64_t kBatch = 32;       ///< subsets of a message, at most
    static constexpr std::int64_t kLastBatch = 8;    ///< the fewest, so that all end together
    static constexpr std::int64_t kOutstanding = 2;  ///< batches that a rank may have
    static constexpr std::int64_t kMostUnsent = 2 * kOutstanding + 2;  ///< of its Messages

    /// `messages` between all ranks, null where there is one; `all` are the same ranks, looked at
    /// for failures alone. Both must outlive it. Run its parts inside agree() over `all`.
    RecordWorkers(Evaluate evaluate, std::int64_t metrics_each, Messages* messages,
                  Collective& all);
    /// The root's tells the others to stop. Local.
    ~RecordWorkers();
    RecordWorkers(const RecordWorkers&) = delete;
    RecordWorkers& operator=(const RecordWorkers&) = delete;

    /// The root's: fills `metrics` [Q, metrics_each] for the subsets [Q, size], -1 being no
    /// candidate. Calls `done`, if given, as records come in, in any order; when it says no, takes
    /// what is handed out already, hands out nothing more, and returns false. Throws what
    /// evaluating throws here; ends as give_up() does where another rank has failed.
    bool evaluate(std::int64_t question, std::span<const std::int32_t> subsets, std::int64_t size,
                  std::span<double> metrics, const Done& done = {});

    /// The others': works until the root's RecordWorkers is gone.
    void serve();

    /// Seconds that ranks evaluated over those that passed in evaluate() times the ranks; the
    /// root's.
    double busy_share() const;

  private:
    struct Work;
    std::int64_t next_batch(const Work& work) const;
    void hand_out(Work& work);
    bool take(Work& work, std::chrono::microseconds patience);
    void work_here(Work& work);

    Evaluate evaluate_;
    std::int64_t metrics_each_;
    Messages* messages_;
    Collective& all_;
    std::vector<std::int64_t> outstanding_;  ///< [ranks] batches
    double busy_s_ = 0.0, passed_s_ = 0.0;
};

}  // namespace thresher
