#include "src/training/evaluation/evaluate.hpp"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <cstring>

#include "src/base/thread_collective.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;

namespace {

/// Logits (x, 0) of one number x: the probability of class 0 is 1 / (1 + exp(-x)).
std::unique_ptr<Model> logistic_model(const PoolInfo& pool) {
    ModelSpec spec = spec_for_pool("mlp", pool);
    spec.hidden.clear();
    auto model = make_model(spec, 1);
    const c10::NoGradGuard no_grad;
    for (const NamedTensor& entry : model->parameters()) entry.tensor.zero_();
    model->parameters().front().tensor[0][0] = 1.0F;
    return model;
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace

TEST_CASE("accuracy, loss, classes and calibration are those counted by hand") {
    // Three rows at p = sigmoid(2) = 0.8808 (bin 13), two of them right; two at p = sigmoid(0.5) =
    // 0.6225 (bin 9) for class 1, one right; two without a usable target.
    const MemoryPool pool =
        vector_pool({2, 2, 2, -0.5F, -0.5F, 1, 1}, 1, {0, 0, 1, 1, 0, -1, 2}, 2);
    auto model = logistic_model(pool.info);
    const auto before = bytes_of(*model);
    const auto collective = make_local_collective();
    const auto source = stream_blocks(pool, 0, 1);
    const Evaluation result = evaluate(*model, *source, *collective);
    const double high = sigmoid(2.0), low = sigmoid(0.5);
    CHECK(result.rows == 5);
    CHECK(result.without_target == 2);
    CHECK(result.correct == 3);
    CHECK(result.accuracy() == Approx(0.6));
    CHECK(
        result.mean_loss ==
        Approx((-2 * std::log(high) - std::log(1 - high) - std::log(low) - std::log(1 - low)) / 5));
    const double error = 3.0 / 5.0 * std::abs(2.0 / 3.0 - high) + 2.0 / 5.0 * std::abs(0.5 - low);
    CHECK(result.calibration_error == Approx(error).epsilon(1e-6));
    REQUIRE(result.classes.size() == 2);
    CHECK(result.classes[0].support == 3);
    CHECK(result.classes[0].predicted == 3);
    CHECK(result.classes[0].correct == 2);
    CHECK(result.classes[0].recall() == Approx(2.0 / 3.0));
    CHECK(result.classes[1].support == 2);
    CHECK(result.classes[1].predicted == 2);
    CHECK(result.classes[1].precision() == Approx(0.5));
    CHECK(bytes_of(*model) == before);
}

TEST_CASE("an evaluation has the same bits for 1, 2, 3 and 4 ranks") {
    const MemoryPool pool = byte_pool(3000, {1, 4, 4}, 10);
    auto model = make_model(spec_for_pool("mlp", pool.info), 1);
    const auto alone = make_local_collective();
    const Evaluation blocks = evaluate(*model, *stream_blocks(pool, 0, 1), *alone);
    const Evaluation examples = evaluate(*model, *all_examples(pool), *alone);
    CHECK(blocks.correct == examples.correct);
    CHECK(blocks.mean_loss == Approx(examples.mean_loss));
    for (const int ranks : {2, 3, 4}) {
        run_simulated_ranks(ranks, [&](Collective& collective) {
            const auto own = model->clone();
            const auto source = stream_blocks(pool, collective.rank(), ranks);
            const Evaluation a = evaluate(*own, *source, collective);
            const Evaluation b = evaluate(*own, *all_examples(pool), collective);
            if (a.mean_loss != blocks.mean_loss || b.mean_loss != examples.mean_loss ||
                a.calibration_error != blocks.calibration_error || a.correct != blocks.correct ||
                b.calibration_error != examples.calibration_error) {
                throw Error("the evaluation differs");
            }
        });
    }
}

TEST_CASE("a pool without targets cannot be evaluated on") {
    MemoryPool pool = vector_pool({1, 2}, 1, {-1, -1}, 2);
    auto model = logistic_model(pool.info);
    const auto collective = make_local_collective();
    CHECK_THROWS_WITH(evaluate(*model, *all_examples(pool), *collective),
                      thresher::test::contains("none of the 2 rows of pool toy.h5"));
    pool.info.has_targets = false;
    CHECK_THROWS_WITH(evaluate(*model, *all_examples(pool), *collective),
                      thresher::test::contains("no targets"));
}
