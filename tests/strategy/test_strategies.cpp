#include <ATen/core/Tensor.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "src/base/check.hpp"
#include "src/models/torchscript/torchscript.hpp"
#include "src/strategy/predictor.hpp"
#include "src/strategy/strategy.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/models/scripted.hpp"
#include "tests/strategy/predict_all.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

std::unique_ptr<Model> built_in(const std::string& name, const MemoryPool& pool, std::uint64_t seed,
                                double dropout = 0.5) {
    ModelSpec spec = spec_for_pool(name, pool.info);
    spec.dropout = dropout;
    return make_model(spec, seed);
}

std::unique_ptr<Model> scripted(const torch::jit::Module& module) {
    ModelSpec spec;
    spec.name = kTorchScript;
    spec.input_shape = {4};
    return wrap_torchscript(module, spec, "cpu", "user.pt");
}

torch::jit::Module scripted_logits() {
    torch::jit::Module module("Logits");
    module.define("def forward(self, x):\n    return 2.0 * x\n");
    return module;
}

PredictorOptions with(std::vector<std::string> strategies) {
    PredictorOptions options;
    options.strategies = std::move(strategies);
    options.micro_batch = 8;
    options.seed = 3;
    return options;
}

PredictorOptions monte_carlo(std::int64_t samples, bool consistent = false) {
    PredictorOptions options = with({"monte-carlo"});
    options.samples = samples;
    options.consistent_masks = consistent;
    return options;
}

/// log_probs[row, sample, :].
std::span<const float> sample_of(const Predictions& predictions, std::size_t row,
                                 std::size_t sample) {
    const auto classes = static_cast<std::size_t>(predictions.classes);
    const std::size_t samples = static_cast<std::size_t>(predictions.samples);
    return std::span(predictions.log_probs).subspan((row * samples + sample) * classes, classes);
}

}  // namespace

TEST_CASE("every strategy gives the same bits for any number of ranks") {
    const MemoryPool pool = byte_pool(75, {1, 16, 16}, 4);
    auto learner = built_in("cnn", pool, 1), online = built_in("mlp", pool, 2),
         other = built_in("cnn", pool, 3);
    const ModelRoles models{learner.get(), nullptr, online.get(), {learner.get(), other.get()}};
    for (const PredictorOptions& options :
         {with({"deterministic", "embedding", "loss"}), monte_carlo(3), monte_carlo(3, true),
          with({"ensemble", "embedding"}), with({"random"})}) {
        INFO(options.strategies.front());
        const Predictions one = predict_all(models, pool, options);
        for (const int ranks : {2, 3, 4}) {
            const Predictions many = predict_all(models, pool, options, ranks);
            CHECK(same_bits(one.log_probs, many.log_probs));
            CHECK(same_bits(one.embeddings, many.embeddings));
            for (const auto& [role, losses] : one.losses) {
                CHECK(same_bits(losses, many.losses.at(role)));
            }
        }
    }
}

TEST_CASE("strategies together give what each gives alone") {
    const MemoryPool pool = byte_pool(20, {1, 16, 16}, 4);
    auto learner = built_in("cnn", pool, 1), online = built_in("mlp", pool, 2);
    const ModelRoles models{learner.get(), nullptr, online.get()};
    PredictorOptions together = monte_carlo(3);
    together.strategies = {"monte-carlo", "embedding", "loss"};
    const Predictions all = predict_all(models, pool, together);
    CHECK(same_bits(all.log_probs, predict_all(models, pool, monte_carlo(3)).log_probs));
    const Predictions embedding = predict_all(models, pool, with({"embedding"}));
    CHECK(embedding.log_probs.empty());
    CHECK(embedding.embedding_size == 128);
    CHECK(same_bits(all.embeddings, embedding.embeddings));
    const Predictions loss = predict_all(models, pool, with({"loss"}));
    CHECK(all.losses.size() == 2);
    CHECK(same_bits(all.losses.at("learner"), loss.losses.at("learner")));
    CHECK(same_bits(all.losses.at("online"), loss.losses.at("online")));
    const Predictions one_pass = predict_all(models, pool, with({"deterministic", "embedding"}));
    CHECK(same_bits(one_pass.embeddings, embedding.embeddings));
}

TEST_CASE("deterministic, embedding and loss share one forward pass") {
    const MemoryPool pool = byte_pool(20, {1, 16, 16}, 4);
    auto learner = built_in("cnn", pool, 1);
    const auto flops = [&](const PredictorOptions& options) {
        Predictor predictor({learner.get()}, pool.info, options);
        auto source = stream_blocks(pool, 0, 1);
        Block block;
        Predictions predictions;
        while (source->next(block)) predictor.predict(block, predictions);
        return predictor.flops().at("learner");
    };
    CHECK(flops(with({"deterministic", "embedding", "loss"})) == flops(with({"deterministic"})));
}

TEST_CASE("an ensemble has one sample a model, in the order given") {
    const MemoryPool pool = byte_pool(20, {1, 16, 16}, 4);
    auto first = built_in("cnn", pool, 1), second = built_in("mlp", pool, 2);
    ModelRoles models;
    models.ensemble = {first.get(), second.get(), first.get()};
    const Predictions all = predict_all(models, pool, with({"ensemble"}));
    REQUIRE(all.samples == 3);
    REQUIRE(all.log_probs.size() == 20 * 3 * 4);
    const Predictions one = predict_all({first.get()}, pool, with({"deterministic"}));
    const Predictions two = predict_all({second.get()}, pool, with({"deterministic"}));
    for (std::size_t row = 0; row < 20; ++row) {
        CHECK(same_bits(sample_of(all, row, 0), sample_of(one, row, 0)));
        CHECK(same_bits(sample_of(all, row, 1), sample_of(two, row, 0)));
        CHECK(same_bits(sample_of(all, row, 2), sample_of(one, row, 0)));
    }
}

TEST_CASE("equal rows agree in every pass with consistent masks, and not without") {
    MemoryPool pool = byte_pool(64, {1, 16, 16}, 4);
    const auto bytes = static_cast<std::size_t>(pool.info.bytes_per_row());
    std::memcpy(pool.inputs.data() + 50 * bytes, pool.inputs.data() + 2 * bytes, bytes);
    auto learner = built_in("cnn", pool, 1);
    const Predictions consistent = predict_all({learner.get()}, pool, monte_carlo(5, true), 3);
    const Predictions own = predict_all({learner.get()}, pool, monte_carlo(5), 3);
    for (std::size_t sample = 0; sample < 5; ++sample) {
        CHECK(same_bits(sample_of(consistent, 2, sample), sample_of(consistent, 50, sample)));
        CHECK_FALSE(same_bits(sample_of(own, 2, sample), sample_of(own, 50, sample)));
    }
    CHECK_FALSE(same_bits(sample_of(consistent, 2, 0), sample_of(consistent, 2, 1)));
}

TEST_CASE("another seed or round draws other masks; without a number there are 20 passes") {
    const MemoryPool pool = byte_pool(10, {1, 16, 16}, 4);
    auto learner = built_in("cnn", pool, 1);
    PredictorOptions options = monte_carlo(0);
    const Predictions first = predict_all({learner.get()}, pool, options);
    CHECK(first.samples == 20);
    CHECK(same_bits(first.log_probs, predict_all({learner.get()}, pool, options).log_probs));
    options.round = 1;
    CHECK_FALSE(same_bits(first.log_probs, predict_all({learner.get()}, pool, options).log_probs));
    options.round = 0;
    options.seed = 4;
    CHECK_FALSE(same_bits(first.log_probs, predict_all({learner.get()}, pool, options).log_probs));
}

TEST_CASE("the size of a micro-batch changes no mask") {
    const MemoryPool pool = byte_pool(30, {1, 16, 16}, 4);
    auto learner = built_in("mlp", pool, 1);
    PredictorOptions options = monte_carlo(4);
    const Predictions small = predict_all({learner.get()}, pool, options);
    options.micro_batch = 30;
    const Predictions large = predict_all({learner.get()}, pool, options);
    for (std::size_t i = 0; i < small.log_probs.size(); ++i) {
        CHECK(small.log_probs[i] == Approx(large.log_probs[i]).margin(1e-5));
    }
}

TEST_CASE("no strategy changes a model, whatever its mode, its batch-norm and its dropout") {
    const MemoryPool images = byte_pool(20, {1, 16, 16}, 3);
    std::vector<float> values(80);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    const MemoryPool vectors = vector_pool(values, 4, std::vector<std::int64_t>(20, 1), 3);
    struct Case {
        std::unique_ptr<Model> model;
        const MemoryPool* pool;
    };
    std::vector<Case> cases;
    cases.push_back({built_in("resnet18", images, 1), &images});
    cases.push_back({scripted(scripted_network(0.5)), &vectors});
    for (const auto& [model, pool] : cases) {
        INFO(model->spec().name);
        for (const bool training : {true, false}) {
            model->set_training(training);
            const auto before = bytes_of(*model);
            ModelRoles roles{model.get(), model.get(), model.get(), {model.get(), model.get()}};
            PredictorOptions options = monte_carlo(3);
            options.strategies = {"monte-carlo", "embedding", "loss"};
            const Predictions sampled = predict_all(roles, *pool, options);
            predict_all(roles, *pool, with({"deterministic", "embedding", "loss"}));
            predict_all(roles, *pool, with({"ensemble"}));
            CHECK(bytes_of(*model) == before);
            CHECK(model->is_training() == training);
            CHECK_FALSE(same_bits(sample_of(sampled, 0, 0), sample_of(sampled, 0, 1)));
        }
    }
}

TEST_CASE("a TorchScript model is sampled and embedded as a built-in one is") {
    std::vector<float> values(120);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    const MemoryPool pool = vector_pool(values, 4, std::vector<std::int64_t>(30, 1), 3);
    auto model = scripted(scripted_network(0.5));
    for (const bool consistent : {false, true}) {
        PredictorOptions options = monte_carlo(4, consistent);
        options.strategies.emplace_back("embedding");
        const Predictions one = predict_all({model.get()}, pool, options);
        CHECK(one.embedding_size == 8);
        for (const int ranks : {2, 3}) {
            const Predictions many = predict_all({model.get()}, pool, options, ranks);
            CHECK(same_bits(one.log_probs, many.log_probs));
            CHECK(same_bits(one.embeddings, many.embeddings));
        }
    }
}

TEST_CASE("what does not go together is refused with what does") {
    using thresher::test::contains;
    const MemoryPool pool = byte_pool(20, {1, 16, 16}, 4);
    auto cnn = built_in("cnn", pool, 1), dry = built_in("mlp", pool, 1, 0.0);
    const auto refused = [&](const ModelRoles& models, const PredictorOptions& options,
                             const auto& matcher) {
        CHECK_THROWS_AS(Predictor(models, pool.info, options), UsageError);
        CHECK_THROWS_WITH(Predictor(models, pool.info, options), matcher);
    };
    refused({cnn.get()}, with({"deterministic", "monte-carlo"}),
            contains("deterministic and monte-carlo"));
    refused({cnn.get()}, with({"loss", "loss"}), contains("loss was given twice"));
    refused({cnn.get()}, with({"ensemble"}), contains("roles ensemble"));
    refused({dry.get()}, monte_carlo(3), contains("mlp") && contains("--dropout"));
    PredictorOptions options = with({"deterministic"});
    options.samples = 5;
    refused({cnn.get()}, options, contains("5 samples") && contains("monte-carlo"));
    options.samples = 0;
    options.consistent_masks = true;
    refused({cnn.get()}, options, contains("consistent masks") && contains("monte-carlo"));
    refused({cnn.get()}, monte_carlo(-1), contains("-1 samples"));

    MemoryPool other_pool = byte_pool(20, {1, 16, 16}, 7);
    auto other = built_in("cnn", other_pool, 1);
    ModelRoles models;
    models.ensemble = {cnn.get(), other.get()};
    CHECK_THROWS_WITH(Predictor(models, pool.info, with({"ensemble"})),
                      contains("model 2") && contains("7 classes"));

    const MemoryPool vectors =
        vector_pool(std::vector<float>(80, 1.0F), 4, std::vector<std::int64_t>(20, 1), 4);
    auto bare = scripted(scripted_logits());
    CHECK_THROWS_WITH(Predictor({bare.get()}, vectors.info, with({"embedding"})),
                      contains("\"embedding\"") && contains("dict"));
    CHECK_THROWS_WITH(Predictor({bare.get()}, vectors.info, monte_carlo(2)),
                      contains("nn.Dropout"));
}

TEST_CASE("the table says what each strategy makes, of what, and where it comes from") {
    for (const StrategyInfo& strategy : strategies()) {
        INFO(std::string(strategy.name));
        CHECK(&find_strategy(strategy.name) == &strategy);
        CHECK(strategy.produces.empty() == strategy.roles.empty());
        CHECK_FALSE(strategy.description.empty());
        CHECK_FALSE(strategy.source.empty());
    }
}
