#include <ATen/core/Tensor.h>

#include <cmath>
#include <numeric>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/base/thread_messages.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/token_reader.hpp"
#include "src/training/actors/actor.hpp"
#include "src/training/actors/actor_feed.hpp"
#include "src/training/prioritised/candidate_scorer.hpp"
#include "src/training/trainer.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pair_pool.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

struct Result {
    std::map<std::string, std::string> learner;
    std::map<std::string, std::vector<double>> steps;
    bool operator==(const Result&) const = default;
};

TrainOptions options_for(const std::string& method) {
    TrainOptions options;
    options.method = method;
    options.contrastive = ContrastiveKind::sigmoid;
    options.epochs = 2;
    options.batch_size = 12;
    options.filter_ratio = method == "uniform" ? 1.0 : 3.0;
    options.chunks = 4;
    options.optimizer = OptimizerKind::adamw;
    options.learning_rate = 0.005;
    options.reproducible = true;
    return options;
}

/// A model that has learned what captions mean.
const Model& clean_reference() {
    static const std::unique_ptr<Model> trained = [] {
        const MemoryPool pool = pair_pool(256, 1, 0.0, 77);
        auto model = make_model(pair_spec(pool.info), 11);
        const auto source = all_examples(pool);
        const auto collective = make_local_collective();
        TrainOptions options = options_for("uniform");
        options.updates = 200;
        options.batch_size = 32;
        Trainer(*model, *source, nullptr, options, *collective).run();
        return model;
    }();
    return *trained;
}

Result train(const MemoryPool& pool, const TrainOptions& options, Collective& collective,
             const ActorLink* actors = nullptr) {
    const auto learner = make_model(pair_spec(pool.info, {24}), 7);
    const auto reference = clean_reference().scoring_form();
    const auto source = all_examples(pool);
    Trainer trainer(*learner, *source, nullptr, options, collective, {nullptr, reference.get()},
                    actors);
    trainer.run();
    auto steps = trainer.curves().steps;
    steps.erase("staleness");
    return {bytes_of(*learner), steps};
}

Result train_alone(const MemoryPool& pool, const TrainOptions& options) {
    return train(pool, options, *make_local_collective());
}

Result train_with_actors(const Topology& topology, const MemoryPool& pool,
                         const TrainOptions& options) {
    const auto messages =
        make_thread_messages(topology.learners + topology.actors,
                             topology.most_unsent(portion_plan(
                                 topology, options, SuperBatches(*all_examples(pool), options))));
    Result result;
    run_simulated_groups(
        {topology.learners, topology.actors}, [&](Collective& all, Collective& group) {
            Messages& own = *messages[static_cast<std::size_t>(all.rank())];
            if (topology.is_learner(all.rank())) {
                const ActorLink link{topology, own, all};
                Result found = train(pool, options, group, &link);
                if (group.is_root()) result = std::move(found);
                return;
            }
            const auto learner = make_model(pair_spec(pool.info, {24}), 7);
            const auto reference = clean_reference().scoring_form();
            const auto source = all_examples(pool);
            run_actor(*learner, {nullptr, reference.get()}, *source, options, topology, own, all);
        });
    return result;
}

double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("what jest is told of a pair multiplies to the logits of the sigmoid loss") {
    MemoryPool pool = pair_pool(9);
    std::fill_n(pool.tokens.begin() + 4 * 6, 6, 0);  // row 4 has no caption
    const auto learner = make_model(pair_spec(pool.info, {24}), 7);
    const auto reference = clean_reference().clone();
    std::vector<std::int64_t> positions(9);
    std::iota(positions.begin(), positions.end(), 0);
    Examples candidates;
    all_examples(pool)->fetch(positions, candidates);
    CandidateScorer scorer(find_method("jest"), {learner.get(), reference.get(), {}}, pool.info);
    const auto stride = static_cast<std::size_t>(scorer.layout().values());
    REQUIRE(stride == 2 * (17 + 17));
    std::vector<float> values(9 * stride);
    const std::vector<RowRange> pieces{{0, 4}, {4, 9}};
    scorer.score(candidates, positions, pieces, values);

    std::size_t first = 0;
    for (const auto* model : {&learner, &reference}) {
        const at::Tensor images =
            (*model)
                ->forward(InputReader((*model)->spec(), pool.info.element_type, 1.0, "cpu")
                              .read(candidates.inputs))
                .embedding;
        const at::Tensor captions =
            (*model)->embed_text(read_tokens(candidates.tokens, *(*model)->spec().towers, "cpu"));
        const auto scale = (*model)->pair_scale().scale.item<double>(),
                   bias = (*model)->pair_scale().bias.item<double>();
        for (std::size_t i = 0; i < 9; ++i) {
            for (std::size_t j = 0; j < 9; ++j) {
                const float* image = values.data() + i * stride + first;
                const float* caption = values.data() + j * stride + first + 17;
                const double found = std::inner_product(image, image + 17, caption, 0.0);
                if (j == 4) {
                    CHECK(std::isnan(found));
                    continue;
                }
                const double expected = scale * images[static_cast<std::int64_t>(i)]
                                                    .dot(captions[static_cast<std::int64_t>(j)])
                                                    .item<double>() +
                                        bias;
                CHECK(found == Approx(expected).margin(1e-4));
            }
        }
        first += 2 * 17;
    }
}

TEST_CASE("jest trains on the same pairs, bit for bit, over ranks and with actors") {
    const MemoryPool pool = pair_pool(101, 1, 0.3);
    const TrainOptions options = options_for("jest");
    const Result alone = train_alone(pool, options);
    CHECK(alone.steps.at("chosen_score").size() == 6);
    for (const int ranks : {2, 3, 4}) {
        INFO(ranks << " ranks");
        run_simulated_ranks(ranks, [&](Collective& collective) {
            const Result found = train(pool, options, collective);
            if (collective.is_root()) CHECK(found == alone);
        });
    }
    for (const int learners : {1, 2}) {
        INFO(learners << " learners");
        Topology topology;
        topology.learners = learners;
        topology.actors = 2;
        topology.max_staleness = 0;
        CHECK(train_with_actors(topology, pool, options) == alone);
        topology.ship_inputs = true;
        CHECK(train_with_actors(topology, pool, options) == alone);
    }
}

TEST_CASE("jest avoids shuffled captions, and a filter ratio of 1 is uniform training") {
    const MemoryPool pool = pair_pool(768, 1, 0.5);
    TrainOptions options = options_for("jest");
    options.updates = 30;
    options.batch_size = 32;
    CHECK(mean(train_alone(pool, options).steps.at("noisy_share")) < 0.4);
    options.filter_ratio = 1.0;
    TrainOptions uniform = options;
    uniform.method = "uniform";
    CHECK(train_alone(pool, options) == train_alone(pool, uniform));
}

TEST_CASE("what jest cannot choose by is refused") {
    const MemoryPool pool = pair_pool(40), classes = quadrant_pool(40);
    const auto collective = make_local_collective();
    const auto learner = make_model(pair_spec(pool.info), 1);
    const auto source = all_examples(pool);
    const std::vector<float> losses(40, 1.0F);
    const auto message = [&](TrainOptions options, const Companions& companions) {
        try {
            Trainer(*learner, *source, nullptr, options, *collective, companions);
        } catch (const UsageError& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    const auto reference = clean_reference().clone();
    TrainOptions softmax = options_for("jest");
    softmax.contrastive = ContrastiveKind::softmax;
    CHECK_THAT(message(softmax, {nullptr, reference.get()}), contains("--contrastive sigmoid"));
    CHECK_THAT(message(options_for("jest"), {nullptr, nullptr, false, losses}),
               contains("the reference is no model that can be run"));
    const auto untrained = make_model(pair_spec(pool.info), 1);
    CHECK_THAT(message(options_for("jest"), {nullptr, untrained.get()}),
               contains("its bias is still -10"));
    const auto perceptron = make_model(spec_for_pool("mlp", classes.info), 1);
    CHECK_THAT(message(options_for("jest"), {nullptr, perceptron.get()}),
               contains("the reference is a mlp"));
}
