#pragma once

// Training with actors on small models, one rank at a time: for simulated ranks and for MPI.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/training/actors/actor.hpp"
#include "src/training/actors/actor_feed.hpp"
#include "src/training/trainer.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/training/noisy_pool.hpp"

namespace thresher {

inline TrainOptions options_for(const std::string& method) {
    TrainOptions options;
    options.method = method;
    options.epochs = 2;
    options.batch_size = 16;
    options.learning_rate = 0.05;
    options.reproducible = true;
    return options;
}

inline Topology topology_of(int learners, int actors, std::int64_t max_staleness) {
    Topology topology;
    topology.learners = learners;
    topology.actors = actors;
    topology.max_staleness = max_staleness;
    return topology;
}

/// The models of one rank, the same on all.
struct Models {
    std::unique_ptr<Model> learner, online, reference;
    bool train_reference;

    Models(const PoolInfo& info, const Model& pretrained, bool trained)
        : learner(make_model(small_spec(info, {16, 16}), 7)),
          online(make_model(small_spec(info), 8)),
          reference(trained ? make_model(small_spec(info), 9) : pretrained.scoring_form()),
          train_reference(trained) {}
    Companions companions() const { return {online.get(), reference.get(), train_reference, {}}; }
};

struct Result {
    std::map<std::string, std::string> learner, online;
    std::map<std::string, std::vector<double>> steps;
    std::map<std::string, double> flops, costs;
    TrainState state;
};

/// How a run differs from the plain one.
struct Run {
    bool train_reference = false;
    const TrainState* resumed = nullptr;
    std::function<bool(const TrainProgress&)> after_step{};
    /// What a rank's messages, or its source, are replaced by.
    std::function<std::unique_ptr<Messages>(Messages&)> messages_of{};
    std::function<std::unique_ptr<ExampleSource>(int rank, std::unique_ptr<ExampleSource>)>
        source_of{};
};

inline Result result_of(const Trainer& trainer, const Models& models) {
    return {bytes_of(*models.learner), bytes_of(*models.online), trainer.curves().steps,
            trainer.flops(),           trainer.costs(),          trainer.export_state()};
}

inline Result co_located(const MemoryPool& pool, const TrainOptions& options, const Run& run = {}) {
    const auto pretrained = clean_reference();
    const Models models(pool.info, *pretrained, run.train_reference);
    const auto source = all_examples(pool);
    const auto alone = make_local_collective();
    Trainer trainer(*models.learner, *source, nullptr, options, *alone, models.companions());
    trainer.run(run.after_step);
    return result_of(trainer, models);
}

/// This rank's part; the result of a learner, nothing of an actor. Collective over `all`.
inline std::optional<Result> run_rank(const Topology& topology, Collective& all, Collective& group,
                                      Messages& messages, const Model& pretrained,
                                      const MemoryPool& pool, const TrainOptions& options,
                                      const Run& run = {}) {
    const Models models(pool.info, pretrained, run.train_reference);
    std::unique_ptr<ExampleSource> source = all_examples(pool);
    if (run.source_of) source = run.source_of(all.rank(), std::move(source));
    std::optional<Result> result;
    agree(all, [&] {
        if (!topology.is_learner(all.rank())) {
            run_actor(*models.learner, models.companions(), *source, options, topology, messages,
                      all);
            return;
        }
        const ActorLink link{topology, messages, all};
        Trainer trainer(*models.learner, *source, nullptr, options, group, models.companions(),
                        &link);
        if (run.resumed != nullptr) trainer.import_state(*run.resumed);
        trainer.run(run.after_step);
        result = result_of(trainer, models);
    });
    return result;
}

/// Messages that may be on their way in such a run.
inline std::int64_t most_unsent(const Topology& topology, const MemoryPool& pool,
                                const TrainOptions& options) {
    const auto source = all_examples(pool);
    return topology.most_unsent(portion_plan(topology, options, SuperBatches(*source, options)));
}

/// The same rows chosen and the same models, bit for bit; what was computed is charged alike.
inline void check_same(const Result& found, const Result& expected) {
    CHECK(found.learner == expected.learner);
    CHECK(found.online == expected.online);
    auto steps = found.steps;
    const auto staleness = steps.extract("staleness");
    CHECK(steps == expected.steps);
    CHECK(staleness.mapped() == std::vector<double>(expected.steps.at("loss").size(), 0.0));
}

/// Candidates that updates were chosen from.
inline double rows_used(const Result& result) {
    double rows = 0.0;
    for (const auto& [name, cost] : result.costs) {
        if (name.rfind("staleness/", 0) == 0) rows += cost;
    }
    return rows;
}

/// Fails the third time it is asked for rows.
class BrokenSource final : public ExampleSource {
  public:
    explicit BrokenSource(std::unique_ptr<ExampleSource> inner) : inner_(std::move(inner)) {}
    const PoolInfo& info() const override { return inner_->info(); }
    std::int64_t size() const override { return inner_->size(); }
    void fetch(std::span<const std::int64_t> positions, Examples& examples) override {
        if (++fetched_ == 3) fail<FileError>("toy.h5 is truncated");
        inner_->fetch(positions, examples);
    }

  private:
    std::unique_ptr<ExampleSource> inner_;
    int fetched_ = 0;
};

}  // namespace thresher
