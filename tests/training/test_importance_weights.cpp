#include <cmath>
#include <numeric>

#include "src/training/batch_gradient.hpp"
#include "src/training/prioritised/sub_batch.hpp"
#include "src/training/trainer.hpp"
#include "tests/support/catch.hpp"
#include "tests/training/noisy_pool.hpp"

using namespace thresher;

namespace {

/// Mean and its standard error of what was added.
struct Sample {
    double count = 0.0, sum = 0.0, squares = 0.0;

    void add(double value) {
        ++count;
        sum += value;
        squares += value * value;
    }
    double mean() const { return sum / count; }
    double error() const {
        return std::sqrt(std::max(0.0, squares / count - mean() * mean()) / count);
    }
    /// How many standard errors the mean is away.
    double away(double from) const { return std::abs(mean() - from) / error(); }
};

Selector drawing(int round) {
    return {.name = "softmax",
            .beta = 1.0,
            .seed = 3,
            .round = static_cast<std::uint32_t>(round),
            .inclusion = true};
}

std::vector<float> random_scores(std::int64_t n) {
    const KeyedRandom random(4, Stream::synthetic, 0);
    std::vector<float> scores;
    for (std::int64_t i = 0; i < n; ++i) scores.push_back(static_cast<float>(random.normal(i)));
    return scores;
}

ModelSpec without_dropout(ModelSpec spec) {
    spec.dropout = 0.0;
    return spec;
}

}  // namespace

TEST_CASE("the weighted mean over the chosen is on average that over all candidates") {
    const auto alone = make_local_collective();
    const std::vector<float> scores = random_scores(20);
    double mean = 0.0;
    for (const float score : scores) mean += score / 20.0;
    Sample weighted, plain;
    for (int round = 0; round < 20000; ++round) {
        const SubBatch chosen = choose_sub_batch(*alone, scores, 5, drawing(round));
        REQUIRE(chosen.weights.size() == 5);
        double sum = 0.0;
        for (std::size_t i = 0; i < 5; ++i) {
            sum += double{chosen.weights[i]} * scores[static_cast<std::size_t>(chosen.places[i])];
        }
        weighted.add(sum / 5.0);
        plain.add(chosen.chosen_score);
    }
    CHECK(weighted.away(mean) < 4.5);
    CHECK(plain.away(mean) > 50.0);
}

TEST_CASE("candidates that are all kept weigh the same, and those without a score nothing") {
    const auto alone = make_local_collective();
    const std::vector<float> some{std::nanf(""), 1.0F, std::nanf(""), 3.0F, -1.0F};
    const SubBatch all = choose_sub_batch(*alone, some, 4, drawing(0));
    CHECK(all.places == std::vector<std::int64_t>{1, 3, 4});
    CHECK(all.weights == std::vector<float>{1.0F, 1.0F, 1.0F});
    CHECK(all.weights_of({1, 3}) == std::vector<float>{1.0F, 1.0F});
    CHECK(choose_sub_batch(*alone, std::vector<float>(3, std::nanf("")), 2, drawing(0))
              .weights.empty());
    Selector plain = drawing(0);
    plain.inclusion = false;
    const SubBatch without = choose_sub_batch(*alone, some, 2, plain);
    CHECK(without.weights.empty());
    CHECK(without.weights_of({0, 2}).empty());
    // Of equal candidates each is as likely as the others, so their weights are around 1.
    Sample weights;
    for (int round = 0; round < 4000; ++round) {
        for (const float weight :
             choose_sub_batch(*alone, std::vector<float>(8, 2.0F), 4, drawing(round)).weights) {
            weights.add(weight);
        }
    }
    CHECK(weights.mean() == Approx(1.0).margin(0.05));
}

TEST_CASE("the weighted gradient is on average that of the whole super-batch") {
    const MemoryPool pool = noisy_pool(32, 0.3);
    const auto alone = make_local_collective();
    const auto model = make_model(without_dropout(small_spec(pool.info, {4})), 1);
    const auto source = all_examples(pool);
    TrainOptions options;
    options.label_smoothing = 0.1;
    BatchGradient batch(*model, pool.info, options, 32, *alone);
    Phases phases;
    const auto fetch = [&](const std::vector<std::int64_t>& places) {
        Examples examples;
        source->fetch(places, examples);
        return examples;
    };
    std::vector<std::int64_t> everything(32);
    std::iota(everything.begin(), everything.end(), 0);
    const TrainSums whole = batch.compute(fetch(everything), {}, 32, 0, phases);
    const at::Tensor expected = batch.gradient().clone();

    const std::vector<float> scores = random_scores(32);
    std::vector<Sample> weighted(static_cast<std::size_t>(expected.numel())),
        plain(weighted.size());
    Sample loss;
    const auto add = [&](std::vector<Sample>& samples) {
        const auto* values = batch.gradient().const_data_ptr<float>();
        for (std::size_t i = 0; i < samples.size(); ++i) samples[i].add(values[i]);
    };
    for (int round = 0; round < 1500; ++round) {
        const SubBatch chosen = choose_sub_batch(*alone, scores, 16, drawing(round));
        const Examples rows = fetch(chosen.places);
        loss.add(batch.compute(rows, chosen.weights, 16, 0, phases).loss / 16.0);
        add(weighted);
        batch.compute(rows, {}, 16, 0, phases);
        add(plain);
    }
    CHECK(loss.away(whole.loss / 32.0) < 4.5);
    double farthest = 0.0;
    for (std::size_t i = 0; i < weighted.size(); ++i) {
        const double value = expected.const_data_ptr<float>()[i];
        if (weighted[i].error() == 0.0) {  // no input reaches it
            CHECK(weighted[i].mean() == value);
            continue;
        }
        CHECK(weighted[i].away(value) < 5.0);
        farthest = std::max(farthest, plain[i].away(value));
    }
    CHECK(farthest > 20.0);
}

TEST_CASE("the loss of weighted training is that of all candidates, whichever are trained on") {
    const MemoryPool pool = noisy_pool(256, 0.3);
    const auto source = all_examples(pool);
    const auto alone = make_local_collective();
    const auto losses_against = [&](bool weights, const char* mean) {
        const auto learner = make_model(without_dropout(small_spec(pool.info)), 1);
        TrainOptions options;
        options.method = "hard-learner";
        options.batch_size = 32;
        options.updates = 200;
        options.learning_rate = 1e-12;  // the learner stays as it is
        options.temperature = 0.5;
        options.importance_weights = weights;
        Trainer trainer(*learner, *source, nullptr, options, *alone);
        trainer.run();
        Sample difference;
        const auto& steps = trainer.curves().steps;
        for (std::size_t i = 0; i < steps.at("loss").size(); ++i) {
            difference.add(steps.at("loss")[i] - steps.at(mean)[i]);
        }
        return difference;
    };
    CHECK(losses_against(true, "candidate_score").away(0.0) < 4.5);
    CHECK(losses_against(false, "candidate_score").away(0.0) > 10.0);
    CHECK(losses_against(false, "chosen_score").mean() == Approx(0.0).margin(1e-5));
}
