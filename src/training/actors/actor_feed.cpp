#include "src/training/actors/actor_feed.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <numeric>
#include <utility>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/stop_flag.hpp"

namespace thresher {

namespace {

constexpr std::chrono::milliseconds kPatience{1};  ///< between looks at what else may have happened
constexpr std::chrono::duration<double> kHeldUp{0.1};

}  // namespace

ActorFeed::ActorFeed(Model& learner, const Companions& companions, ExampleSource& source,
                     const TrainOptions& options, const ActorLink& link, Collective& learners)
    : link_(link),
      learners_(learners),
      super_batches_(source, options),
      portions_(portion_plan(link.topology, options, super_batches_)),
      plan_(shard_plan(options, batch_size(), learners.size())),
      candidate_plan_(shard_plan(options, super_batch(), learners.size())),
      layout_(
          layout_of(find_method(options.method), scorers_of(learner, companions, source, options))),
      models_(trained_scorers(learner, companions, options)),
      candidates_wanted_(companions.train_reference),
      versions_(static_cast<std::size_t>(link.topology.actors), -1) {
    THRESHER_CHECK_AS(UsageError, super_batches_.scored(),
                      "every candidate is trained on (batch-size {} of {} candidates), so there is "
                      "nothing for actors to score; give a larger --filter-ratio or pool, or leave "
                      "the actors out",
                      batch_size(), super_batch());
    const auto fed = portions_.shards * link.topology.open_super_batches();
    if (leads() && link.topology.actors > fed) {
        log::warn(
            "{} actors, but no more than {} portions at a time: the others have nothing to do",
            link.topology.actors, fed);
    }
}

ActorFeed::~ActorFeed() {
    if (!leads()) return;
    for (int actor = 0; actor < link_.topology.actors; ++actor) {
        try {
            link_.messages.send(rank_of(actor), pack(MessageKind::end));
        } catch (const std::exception& error) {
            log::error("the actor on rank {} could not be told of the end: {}", rank_of(actor),
                       error.what());
        }
        if (bank_ && bank_->is_silent(actor)) {
            log::warn("the actor on rank {} still does not answer: the job ends when it does",
                      rank_of(actor));
        }
    }
}

/// What the leading learner alone does: where it fails, the others must not wait for it in the sum
/// of next().
void ActorFeed::lead(const std::function<void()>& part) {
    if (!leads() || failure_) return;
    try {
        part();
    } catch (...) {
        failure_ = std::current_exception();
    }
}

void ActorFeed::updated(std::int64_t step, std::int64_t steps, Phases& phases) {
    if (!leads() || step == steps) return;  // after the last update nobody needs anything
    const auto timer = phases.time("publish");
    lead([&] {
        const Topology& topology = link_.topology;
        if (!bank_) {
            const MemoryBank::Bounds bounds{
                portions_.shards, topology.open_super_batches(), topology.max_staleness,
                topology.portions_an_actor(portions_), topology.patience_s};
            bank_.emplace(topology.actors, bounds, step, steps);
        }
        if (version_ < 0 || step % topology.publish_every == 0) {
            published_ = pack_parameters(step, models_);
            version_ = step;
        }
        exchange({});
    });
}

/// All that can be done without waiting: takes in what has come, within `patience`, passes over
/// actors that are silent and hands out what is due.
void ActorFeed::exchange(std::chrono::microseconds patience) {
    auto message = link_.messages.receive(patience);
    while (message) {
        take(std::move(*message));
        message = link_.messages.receive();
    }
    pass_over_silent();
    hand_out();
}

void ActorFeed::take(Message&& message) {
    const int actor = message.from - link_.topology.learners;
    switch (kind_of(message)) {
        case MessageKind::scores:
            keep(actor, unpack_scores(std::move(message)));
            break;
        case MessageKind::forgotten:
            bank_->welcome_back(actor);
            log::info("the actor on rank {} answers again", message.from);
            break;
        case MessageKind::stop:
            request_stop();
            break;
        default:
            fail<Error>("rank {} sent the learner a message of kind {}", message.from,
                        static_cast<std::int64_t>(kind_of(message)));
    }
}

void ActorFeed::keep(int actor, Answer&& answer) {
    online_flops_ += answer.costs.online_flops;
    reference_flops_ += answer.costs.reference_flops;
    const ActorSeconds& seconds = answer.costs.seconds;
    actor_seconds_.computed += seconds.computed;
    actor_seconds_.waited += seconds.waited;
    actor_seconds_.communicated += seconds.communicated;
    const Portion& portion = answer.scored.portion;
    const auto rows = portions_.shard_rows(super_batches_.rows(portion.step), portion.shard).size();
    THRESHER_CHECK(std::ssize(answer.scored.scores) == rows * layout_.values() &&
                       portion.shard < portions_.shards,
                   "the actor on rank {} sent {} numbers for a portion of {} candidates",
                   rank_of(actor), answer.scored.scores.size(), rows);
    const auto fate = bank_->accept(actor, std::move(answer.scored), waited_s_);
    if (fate != MemoryBank::Fate::kept) ++dropped_;
}

void ActorFeed::pass_over_silent() {
    for (const int actor : bank_->find_silent(waited_s_)) {
        ++passed_over_;
        link_.messages.send(rank_of(actor), pack(MessageKind::forget));
        log::warn("the actor on rank {} has not answered for {} s; {}", rank_of(actor),
                  link_.topology.patience_s,
                  bank_->answering() > 0
                      ? "the others take over what it was asked for"
                      : "there is no other that answers, so training waits for one of them");
    }
}

/// An actor gets the parameters only with work, so that one that does not answer gets neither.
void ActorFeed::hand_out() {
    std::map<int, std::vector<Portion>> asked;
    while (const auto task = bank_->hand_out(version_, waited_s_)) {
        asked[task->actor].push_back(task->portion);
    }
    for (const auto& [actor, portions] : asked) {
        std::int64_t& sent = versions_[static_cast<std::size_t>(actor)];
        if (sent < version_) link_.messages.send(rank_of(actor), published_);
        sent = version_;
        link_.messages.send(rank_of(actor), pack_portions(portions));
    }
}

Batch ActorFeed::next(std::int64_t step, std::int64_t, Phases& phases) {
    Batch batch;
    std::vector<float> scores;
    // Whether a rank has failed, and how many updates the candidates' scores are behind, added up.
    std::array<std::int64_t, 2> told{0, 0};
    {
        const auto timer = phases.time("wait");
        lead([&] {
            if (wait_for_scores()) {
                scores = take_scores(step, told[1]);
            } else {
                told[0] = 1;
            }
        });
        if (failure_) told[0] = 1;
        learners_.all_reduce_sum_patiently(told);
    }
    if (failure_) std::rethrow_exception(failure_);
    if (told[0] != 0) give_up();
    SubBatch sub_batch;
    {
        const auto timer = phases.time("choose");
        sub_batch = super_batches_.choose(learners_, step, scores, layout_);
    }
    const auto timer = phases.time("read");
    gather_rows(step, sub_batch);
    batch.own = &chosen_;
    batch.rows = std::ssize(sub_batch.places);
    batch.weights = sub_batch.weights_of(plan_.rank_rows(batch.rows, learners_.rank()));
    batch.own_candidates = &candidates_;
    batch.candidates = super_batches_.rows(step);
    batch.candidate_score = sub_batch.candidate_score;
    batch.chosen_score = sub_batch.chosen_score;
    batch.without_score = sub_batch.without_score;
    batch.staleness = static_cast<double>(told[1]) / static_cast<double>(batch.candidates);
    return batch;
}

/// False where another rank has failed.
bool ActorFeed::wait_for_scores() {
    using Clock = std::chrono::steady_clock;
    exchange({});
    while (!bank_->complete()) {
        if (link_.all.failure_announced()) return false;
        const auto begin = Clock::now();
        exchange(kPatience);
        // Where this rank was itself held up, that was not the actors' doing.
        waited_s_ += std::min(kHeldUp, std::chrono::duration<double>(Clock::now() - begin)).count();
    }
    return true;
}

/// The scores of the super-batch; fills shipped_, adds to `behind`, and hands out what may be
/// scored beside the update that begins.
std::vector<float> ActorFeed::take_scores(std::int64_t step, std::int64_t& behind) {
    std::vector<float> scores;
    shipped_ = {};
    for (const ScoredPortion& portion : bank_->take()) {
        const auto rows = std::ssize(portion.scores) / layout_.values();
        staleness_[step - portion.version] += rows;
        behind += rows * (step - portion.version);
        scores.insert(scores.end(), portion.scores.begin(), portion.scores.end());
        append(shipped_, portion.rows);
    }
    hand_out();
    return scores;
}

/// Fills chosen_ and, where they are wanted, candidates_ with this learner's rows.
void ActorFeed::gather_rows(std::int64_t step, const SubBatch& sub_batch) {
    const std::int64_t rows = super_batches_.rows(step);
    if (link_.topology.ship_inputs) {
        const RowRange own = leads() ? RowRange{0, rows} : RowRange{};
        move_chosen(learners_, shipped_, own, sub_batch.places, plan_, chosen_);
        if (!candidates_wanted_) return;
        std::vector<std::int64_t> all(static_cast<std::size_t>(rows));
        std::iota(all.begin(), all.end(), std::int64_t{0});
        move_chosen(learners_, shipped_, own, all, candidate_plan_, candidates_);
        return;
    }
    agree(learners_, [&] {
        const RowRange own = plan_.rank_rows(std::ssize(sub_batch.places), learners_.rank());
        const auto places =
            std::span(sub_batch.places)
                .subspan(static_cast<std::size_t>(own.begin), static_cast<std::size_t>(own.size()));
        super_batches_.fetch(step, super_batches_.positions(step, places), chosen_);
        if (!candidates_wanted_) return;
        const RowRange own_candidates = candidate_plan_.rank_rows(rows, learners_.rank());
        super_batches_.fetch(step, super_batches_.positions(step, own_candidates), candidates_);
    });
}

std::map<std::string, double> ActorFeed::costs() const {
    if (!leads()) return {};
    std::map<std::string, double> costs{
        {"actors/computed", actor_seconds_.computed},
        {"actors/waited", actor_seconds_.waited},
        {"actors/communicated", actor_seconds_.communicated},
        {"actors/passed_over", static_cast<double>(passed_over_)},
        {"actors/dropped", static_cast<double>(dropped_)},
        {"bytes/messages", static_cast<double>(link_.messages.bytes_sent())}};
    for (const auto& [updates, candidates] : staleness_) {
        costs[fmt::format("staleness/{}", updates)] = static_cast<double>(candidates);
    }
    return costs;
}

}  // namespace thresher
