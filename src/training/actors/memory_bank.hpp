#pragma once

// The leading learner's memory bank: the scored candidates of the super-batches that come next, and
// who has been asked for those that are missing. A super-batch is cut into portions. Each portion
// is handed to one actor; the first good answer for it is kept and any other dropped, so that every
// candidate counts once, whichever actor scored it. A portion of an actor that does not answer, or
// whose scores are too old, is handed out again.
//
// What the bank holds is bounded: a fixed number of super-batches are open. Time is what the caller
// says it is.

#include <compare>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "src/pool/example_source.hpp"

namespace thresher {

/// A part of the super-batch of one update: rows shard_rows(rows, shard) of its plan.
struct Portion {
    std::int64_t step = 0, shard = 0;
    auto operator<=>(const Portion&) const = default;
};

struct ScoredPortion {
    Portion portion;
    std::int64_t version = 0;   ///< updates that the parameters had seen
    std::vector<float> scores;  ///< [rows], or whatever a CandidateScorer says of each
    Examples rows;              ///< where inputs are shipped
};

class MemoryBank {
  public:
    struct Bounds {
        std::int64_t portions;       ///< of a super-batch
        std::int64_t super_batches;  ///< open at once
        std::int64_t max_staleness;  ///< updates
        std::int64_t outstanding;    ///< portions that an actor may have
        double patience_s;
    };

    /// For updates [first_step, steps), with actors numbered from 0.
    MemoryBank(int actors, const Bounds& bounds, std::int64_t first_step, std::int64_t steps);

    struct Task {
        int actor;
        Portion portion;
    };
    /// The next portion to be handed out, and to whom: the earliest that may be scored with
    /// parameters of `version`, to the answering actor that has the fewest. Nothing where there is
    /// none, or all have as many as they may.
    std::optional<Task> hand_out(std::int64_t version, double now_s);

    enum class Fate { kept, dropped, too_old };
    /// Takes in what an actor has answered. Scores that are too old are asked for again.
    Fate accept(int actor, ScoredPortion&& scored, double now_s);

    /// Actors that have had a portion for longer than the patience without a sign: from here on
    /// they get none, and what they have is handed to others. Each is named once.
    std::vector<int> find_silent(double now_s);
    /// The actor has dropped all it had, and answers again.
    void welcome_back(int actor);
    bool is_silent(int actor) const { return actors_[static_cast<std::size_t>(actor)].silent; }
    int answering() const;  ///< actors that are not silent

    std::int64_t next_step() const { return first_step_; }  ///< of the oldest super-batch
    bool complete() const;  ///< whether nothing of the oldest super-batch is missing
    /// The portions of the oldest super-batch in order. Opens another one.
    std::vector<ScoredPortion> take();

    std::int64_t portions_held() const;  ///< scored, and not taken
    std::int64_t portions_outstanding(int actor) const;

  private:
    struct Slot {
        bool done = false;
        int asked = -1;  ///< the actor; -1 where nobody has been asked
        ScoredPortion scored;
    };
    struct Actor {
        bool silent = false;
        double heard_s = 0.0;  ///< last sign, or when it got work after it had none
        std::vector<Portion> outstanding;
    };

    void open();
    Slot* find(const Portion& portion);
    Actor& at(int actor) { return actors_[static_cast<std::size_t>(actor)]; }

    Bounds bounds_;
    std::int64_t first_step_, steps_;
    std::deque<std::vector<Slot>> open_;  ///< super-batches first_step_, first_step_ + 1, ...
    std::vector<Actor> actors_;
};

}  // namespace thresher
