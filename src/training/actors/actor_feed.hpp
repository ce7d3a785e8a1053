#pragma once

// The learners' side of training with actors: the leading learner hands out the portions of the
// super-batches that come next and keeps what the actors answer in its memory bank; all learners
// choose from it as they would from scores of their own, and read, or are sent, the chosen rows.

#include <chrono>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/base/collective.hpp"
#include "src/base/messages.hpp"
#include "src/training/actors/memory_bank.hpp"
#include "src/training/actors/protocol.hpp"
#include "src/training/actors/topology.hpp"
#include "src/training/batch_source.hpp"
#include "src/training/companions.hpp"
#include "src/training/prioritised/sub_batch.hpp"
#include "src/training/super_batches.hpp"

namespace thresher {

/// How a trainer reaches actors; all must outlive it.
struct ActorLink {
    const Topology& topology;
    Messages& messages;  ///< of all ranks
    Collective& all;     ///< the same ranks; looked at for failures alone
};

class ActorFeed final : public BatchSource {
  public:
    /// Throws UsageError where nothing is to be scored. Run inside agree() over `link.all`, so that
    /// actors and learners learn of each other's failures.
    ActorFeed(Model& learner, const Companions& companions, ExampleSource& source,
              const TrainOptions& options, const ActorLink& link, Collective& learners);
    /// Tells the actors that training has ended. Local.
    ~ActorFeed() override;

    std::int64_t batch_size() const override { return super_batches_.batch_size(); }
    std::int64_t super_batch() const override { return super_batches_.super_batch(); }
    std::int64_t steps_per_epoch() const override { return super_batches_.steps_per_epoch(); }
    bool scores() const override { return true; }
    bool has_staleness() const override { return true; }

    /// Adds to the phases wait, choose and read. Ends as give_up() does where another rank has
    /// failed. Collective over the learners.
    Batch next(std::int64_t step, std::int64_t steps, Phases& phases) override;
    /// Publishes the parameters, where they are due; what fails in it is told by the next call of
    /// next(). Adds to the phase publish. Local.
    void updated(std::int64_t step, std::int64_t steps, Phases& phases) override;

    double online_flops() const override { return online_flops_; }
    double reference_flops() const override { return reference_flops_; }

    /// actors/<computed, waited, communicated>, seconds over all actors; actors/passed_over, times
    /// one did not answer; actors/dropped, portions that came too late; staleness/<s>, candidates
    /// whose scores were s updates behind when used; bytes/messages. Of the leading learner.
    std::map<std::string, double> costs() const override;

  private:
    bool leads() const { return learners_.is_root(); }
    int rank_of(int actor) const { return link_.topology.learners + actor; }

    void lead(const std::function<void()>& part);
    void exchange(std::chrono::microseconds patience);
    void take(Message&& message);
    void keep(int actor, Answer&& answer);
    void pass_over_silent();
    void hand_out();

    bool wait_for_scores();
    std::vector<float> take_scores(std::int64_t step, std::int64_t& behind);
    void gather_rows(std::int64_t step, const SubBatch& sub_batch);

    ActorLink link_;
    Collective& learners_;
    SuperBatches super_batches_;
    ShardPlan portions_, plan_, candidate_plan_;
    PairLayout layout_;           ///< of what actors say of a candidate
    std::vector<Model*> models_;  ///< whose parameters are published
    bool candidates_wanted_;      ///< a reference is trained on all of them

    std::optional<MemoryBank> bank_;  ///< of the leading learner
    std::exception_ptr failure_;      ///< its, of which the other learners are told by next()
    SharedBytes published_;
    std::int64_t version_ = -1;           ///< of what was published
    std::vector<std::int64_t> versions_;  ///< that the actors have been sent
    /// Seconds that the leading learner has listened and been kept waiting: its clock for the
    /// patience, so that a long update makes no actor seem silent.
    double waited_s_ = 0.0;
    Examples shipped_, candidates_, chosen_;
    double online_flops_ = 0.0, reference_flops_ = 0.0;
    ActorSeconds actor_seconds_;
    std::int64_t passed_over_ = 0, dropped_ = 0;
    std::map<std::int64_t, std::int64_t> staleness_;
};

}  // namespace thresher
