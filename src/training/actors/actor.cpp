#include "src/training/actors/actor.hpp"

#include <chrono>
#include <set>
#include <utility>
#include <vector>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/stop_flag.hpp"
#include "src/models/tensors.hpp"
#include "src/training/actors/protocol.hpp"
#include "src/training/flat_tensors.hpp"

namespace thresher {

namespace {

constexpr int kLead = 0;
constexpr std::chrono::milliseconds kPatience{1};  ///< between looks at what else may have happened

class Actor {
  public:
    Actor(Model& learner, const Companions& companions, ExampleSource& source,
          const TrainOptions& options, const Topology& topology, Messages& messages,
          Collective& all)
        : source_(source),
          topology_(topology),
          messages_(messages),
          all_(all),
          super_batches_(source, options),
          plan_(portion_plan(topology, options, super_batches_)),
          scorer_(find_method(options.method), scorers_of(learner, companions, source, options),
                  source.info(), options.scoring),
          models_(trained_scorers(learner, companions, options)),
          last_(Clock::now()) {
        // The learners' tensors lie as those of a trainer do; the same layout computes the same.
        for (const Model* model : models_) {
            layouts_.emplace_back(trainable(model->parameters()));
            std::vector<NamedTensor> statistics;
            for (const NamedTensor& buffer : model->buffers()) {
                if (buffer.tensor.scalar_type() == at::kFloat) statistics.push_back(buffer);
            }
            layouts_.emplace_back(statistics);
        }
    }

    void run() {
        while (!ended_) {
            auto message = messages_.receive();
            if (message) {
                take(*message);
                continue;
            }
            tell_of_stop();
            if (tasks_.empty()) {
                wait();
            } else {
                answer();
            }
        }
    }

  private:
    using Clock = std::chrono::steady_clock;

    void take(const Message& message) {
        switch (kind_of(message)) {
            case MessageKind::parameters: {
                const std::int64_t version = unpack_parameters(message, models_);
                THRESHER_CHECK(version > version_, "parameters of update {} after those of {}",
                               version, version_);
                version_ = version;
                break;
            }
            case MessageKind::portions:
                for (const Portion& portion : unpack_portions(message)) tasks_.insert(portion);
                break;
            case MessageKind::forget:
                tasks_.clear();
                messages_.send(kLead, pack(MessageKind::forgotten));
                break;
            case MessageKind::end:
                ended_ = true;
                break;
            default:
                fail<Error>("rank {} sent an actor a message of kind {}", message.from,
                            static_cast<std::int64_t>(kind_of(message)));
        }
        charge(costs_.seconds.communicated);
    }

    /// Of the signal; the learners stop for all.
    void tell_of_stop() {
        if (told_of_stop_ || !stop_requested()) return;
        messages_.send(kLead, pack(MessageKind::stop));
        told_of_stop_ = true;
    }

    void wait() {
        give_up_if_others_failed(all_);
        if (auto message = messages_.receive(kPatience)) {
            charge(costs_.seconds.waited);
            take(*message);
        } else {
            charge(costs_.seconds.waited);
        }
    }

    void answer() {
        const Portion portion = tasks_.extract(tasks_.begin()).value();
        ScoredPortion scored{portion, version_, {}, {}};
        const std::vector<std::int64_t> positions = positions_of(portion);
        super_batches_.fetch(portion.step, positions, scored.rows);
        if (!tasks_.empty()) source_.prefetch(positions_of(*tasks_.begin()));
        const auto rows = std::ssize(positions);
        scored.scores.resize(static_cast<std::size_t>(rows * scorer_.layout().values()));
        const std::vector<RowRange> whole{{0, rows}};
        scorer_.score(scored.rows, positions, whole, scored.scores);
        const double online = scorer_.online_flops(), reference = scorer_.reference_flops();
        costs_.online_flops = online - std::exchange(online_, online);
        costs_.reference_flops = reference - std::exchange(reference_, reference);
        charge(costs_.seconds.computed);
        if (!topology_.ship_inputs) scored.rows = {};
        messages_.send(kLead, pack_scores(scored, std::exchange(costs_, {})));
        charge(costs_.seconds.communicated);
    }

    std::vector<std::int64_t> positions_of(const Portion& portion) const {
        const std::int64_t rows = super_batches_.rows(portion.step);
        return super_batches_.positions(portion.step, plan_.shard_rows(rows, portion.shard));
    }

    /// The time since the last call.
    void charge(double& seconds) {
        const auto now = Clock::now();
        seconds += std::chrono::duration<double>(now - last_).count();
        last_ = now;
    }

    ExampleSource& source_;
    const Topology& topology_;
    Messages& messages_;
    Collective& all_;
    SuperBatches super_batches_;
    ShardPlan plan_;
    CandidateScorer scorer_;
    std::vector<Model*> models_;
    std::vector<FlatTensors> layouts_;
    std::set<Portion> tasks_;  ///< the learners wait for the earliest
    std::int64_t version_ = -1;
    ActorCosts costs_;
    double online_ = 0.0, reference_ = 0.0;  ///< operations that were told
    Clock::time_point last_;
    bool ended_ = false, told_of_stop_ = false;
};

}  // namespace

void run_actor(Model& learner, const Companions& companions, ExampleSource& source,
               const TrainOptions& options, const Topology& topology, Messages& messages,
               Collective& all) {
    Actor(learner, companions, source, options, topology, messages, all).run();
}

}  // namespace thresher
