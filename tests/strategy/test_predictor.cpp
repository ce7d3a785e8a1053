#include "src/strategy/predictor.hpp"

#include <cmath>
#include <limits>

#include "src/base/check.hpp"
#include "src/strategy/cross_entropy.hpp"
#include "src/strategy/strategy.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/strategy/predict_all.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Of all rows, in micro-batches of 8.
Predictions predictions_of(const ModelRoles& models, const MemoryPool& pool,
                           const std::vector<std::string>& strategies, int ranks = 1) {
    return predict_all(models, pool, PredictorOptions{strategies, 8}, ranks);
}

}  // namespace

TEST_CASE("cross-entropy is minus the log-probability of the target") {
    const std::vector<float> log_probs{-0.5F, -1.0F, -2.0F, -3.0F, -4.0F, -5.0F};
    const std::vector<std::int64_t> targets{2, -1};
    std::vector<float> losses(2);
    cross_entropy_rows(log_probs, 3, targets, losses);
    CHECK(losses[0] == 2.0F);
    CHECK(std::isnan(losses[1]));
}

TEST_CASE("a row's prediction has the same bits whatever the number of ranks") {
    const MemoryPool pool = byte_pool(75, {1, 28, 28}, 10);
    auto learner = make_model(spec_for_pool("cnn", pool.info), 1);
    auto reference = make_model(spec_for_pool("mlp", pool.info), 2);
    const ModelRoles models{learner.get(), reference.get()};
    const Predictions one = predictions_of(models, pool, {"deterministic", "loss"});
    const std::vector<float>& learner_losses = one.losses.at("learner");
    REQUIRE(one.log_probs.size() == 75 * 10);
    REQUIRE(learner_losses.size() == 75);
    for (std::size_t i = 0; i < 75; ++i) {
        CHECK(learner_losses[i] == -one.log_probs[i * 10 + i % 10]);
    }
    CHECK_FALSE(same_bits(learner_losses, one.losses.at("reference")));
    for (const int ranks : {2, 3, 4, 7}) {
        const Predictions many = predictions_of(models, pool, {"deterministic", "loss"}, ranks);
        CHECK(same_bits(one.log_probs, many.log_probs));
        for (const char* role : {"learner", "reference"}) {
            CHECK(same_bits(one.losses.at(role), many.losses.at(role)));
        }
    }
}

TEST_CASE("scoring changes neither parameters nor buffers nor the mode of a model") {
    const MemoryPool pool = byte_pool(20, {1, 28, 28}, 10);
    auto model = make_model(spec_for_pool("resnet18", pool.info), 1);
    model->set_training(true);
    const auto before = bytes_of(*model);
    predictions_of({model.get(), model.get()}, pool, {"deterministic", "loss"});
    CHECK(bytes_of(*model) == before);
    CHECK(model->is_training());
}

TEST_CASE("rows without a usable target are quarantined from losses, and only from them") {
    MemoryPool pool = byte_pool(20, {1, 28, 28}, 10);
    pool.targets[3] = -1;
    pool.targets[17] = 10;
    auto model = make_model(spec_for_pool("mlp", pool.info), 1);
    const Predictions losses = predictions_of({model.get(), nullptr}, pool, {"loss"});
    REQUIRE(losses.quarantined.size() == 2);
    CHECK(losses.quarantined[0].id == 3);
    CHECK(losses.quarantined[1].id == 17);
    CHECK(losses.log_probs.empty());
    CHECK(std::isnan(losses.losses.at("learner")[3]));
    CHECK(std::isnan(losses.losses.at("learner")[17]));
    CHECK(std::isfinite(losses.losses.at("learner")[4]));
    const Predictions plain = predictions_of({model.get(), nullptr}, pool, {"deterministic"});
    CHECK(plain.quarantined.empty());

    Predictor predictor({model.get(), nullptr}, pool.info, PredictorOptions{{"loss"}, 0});
    auto source = stream_blocks(pool, 0, 1);
    Block block;
    Predictions predictions;
    REQUIRE(source->next(block));
    predictor.predict(block, predictions);
    REQUIRE(predictions.quarantined.size() == 1);
    CHECK(predictions.quarantined[0].reason == "no target");
    REQUIRE(source->next(block));
    predictor.predict(block, predictions);
    CHECK(predictions.quarantined[0].reason == "target 10 is outside [0, 10)");
}

TEST_CASE("rows of which a model makes no number are quarantined") {
    MemoryPool pool = vector_pool({0, 1, std::numeric_limits<float>::quiet_NaN(), 0, 2, kInfinity},
                                  2, {0, 1, 1}, 2);
    auto model = make_model(spec_for_pool("mlp", pool.info), 1);
    for (const char* strategy : {"deterministic", "embedding", "loss"}) {
        INFO(strategy);
        const Predictions made = predictions_of({model.get(), nullptr}, pool, {strategy});
        REQUIRE(made.quarantined.size() == 2);
        CHECK(made.quarantined[0].id == 1);
        CHECK(made.quarantined[1].id == 2);
        CHECK(made.quarantined[0].reason == "the prediction is no number");
    }
}

TEST_CASE("strategies that cannot be followed are refused") {
    MemoryPool pool = byte_pool(20, {1, 28, 28}, 10);
    auto model = make_model(spec_for_pool("mlp", pool.info), 1);
    const auto make = [&](const ModelRoles& models, const std::string& strategy) {
        Predictor predictor(models, pool.info, PredictorOptions{{strategy}, 0});
    };
    CHECK_THROWS_AS(make({model.get(), nullptr}, "dreaming"), UsageError);
    CHECK_THROWS_WITH(make({model.get(), nullptr}, "dreaming"),
                      contains("dreaming") && contains("deterministic, monte-carlo, ensemble"));
    CHECK_THROWS_WITH(make({nullptr, model.get()}, "deterministic"), contains("learner"));
    pool.info.has_targets = false;
    CHECK_THROWS_WITH(make({model.get(), nullptr}, "loss"), contains("toy.h5 has none"));
    pool.info.input_shape = {3, 28, 28};
    CHECK_THROWS_WITH(make({model.get(), nullptr}, "deterministic"), contains("[1, 28, 28]"));
}
