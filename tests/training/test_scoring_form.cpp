#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "src/base/check.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/tensors.hpp"
#include "src/training/prioritised/candidate_scorer.hpp"
#include "src/training/prioritised/sub_batch.hpp"
#include "src/training/trainer.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

Examples fetch_all(const MemoryPool& pool) {
    std::vector<std::int64_t> positions(static_cast<std::size_t>(pool.info.rows));
    std::iota(positions.begin(), positions.end(), 0);
    Examples examples;
    all_examples(pool)->fetch(positions, examples);
    return examples;
}

struct Scored {
    std::vector<float> scores;
    double flops;
};

/// Under hard-learner, whose score is the loss.
Scored losses_of(Model& model, const MemoryPool& pool, const ScoringForm& form) {
    const Examples candidates = fetch_all(pool);
    CandidateScorer scorer(find_method("hard-learner"), {&model, nullptr, {}}, pool.info, form);
    std::vector<float> scores(candidates.ids.size());
    const std::vector<RowRange> pieces{{0, pool.info.rows}};
    scorer.score(candidates, candidates.ids, pieces, scores);
    return {scores, scorer.online_flops()};
}

}  // namespace

TEST_CASE("at half the resolution every pixel is the mean of four, at a quarter of the cost") {
    MemoryPool pool = byte_pool(12, {3, 32, 32}, 5);
    const auto model = make_model(spec_for_pool("resnet18", pool.info), 3);
    const Scored whole = losses_of(*model, pool, {}), half = losses_of(*model, pool, {0.5, false});
    const c10::NoGradGuard no_grad;
    const at::Tensor images =
        at::avg_pool2d(InputReader(model->spec(), pool.info.element_type, pool.info.scale, "cpu")
                           .read(pool.inputs),
                       2);
    const at::Tensor targets =
        at::from_blob(pool.targets.data(), {12}, at::TensorOptions(at::kLong));
    const at::Tensor expected =
        at::cross_entropy_loss(model->forward(images).logits, targets, {}, at::Reduction::None);
    for (std::size_t i = 0; i < 12; ++i) {
        CHECK(half.scores[i] ==
              Approx(expected[static_cast<std::int64_t>(i)].item<double>()).margin(1e-5));
        CHECK(half.scores[i] != whole.scores[i]);
    }
    // All but the last layer, of 512 x 5, has a quarter of the places.
    const double last = 12.0 * 2.0 * 512.0 * 5.0;
    CHECK(half.flops - last == Approx((whole.flops - last) / 4.0));
}

TEST_CASE("bfloat16 scores are those of float32 to its eight bits, and training stays in float32") {
    const MemoryPool pool = byte_pool(40, {1, 28, 28}, 4);
    for (const char* name : {"mlp", "cnn", "resnet18", "vit-tiny"}) {
        INFO(name);
        ModelSpec spec = spec_for_pool(name, pool.info);
        const auto model = make_model(spec, 3);
        const Scored exact = losses_of(*model, pool, {}),
                     rounded = losses_of(*model, pool, {1.0, true});
        CHECK(rounded.scores != exact.scores);
        for (std::size_t i = 0; i < 40; ++i) {
            CHECK(rounded.scores[i] == Approx(exact.scores[i]).epsilon(0.05));
        }
        CHECK(rounded.flops == exact.flops);
        CHECK_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
    }
    // With parameters that change between updates, each is scored as it is.
    TrainOptions options;
    options.method = "hard-learner";
    options.updates = 3;
    options.batch_size = 10;
    options.learning_rate = 0.5;
    options.scoring.bf16 = true;
    const auto learner = make_model(spec_for_pool("mlp", pool.info), 1),
               online = make_model(spec_for_pool("mlp", pool.info), 2);
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    Trainer trainer(*learner, *source, nullptr, options, *collective, {online.get()});
    trainer.run();
    const auto& scores = trainer.curves().steps.at("candidate_score");
    CHECK(scores[0] != scores[1]);
    CHECK(scores[1] != scores[2]);
    for (const NamedTensor& entry : online->parameters()) {
        CHECK(entry.tensor.scalar_type() == at::kFloat);
    }
}

TEST_CASE("a score that is limited does not take the whole choice") {
    const MemoryPool pool = byte_pool(8, {4}, 2);
    const Examples candidates = fetch_all(pool);
    const float infinity = std::numeric_limits<float>::infinity();
    // Under easy-reference, whose score is the reference's loss with its sign changed.
    const std::vector<float> losses{-1000.0F, 0.0F,          0.5F,     -0.5F,
                                    1000.0F,  std::nanf(""), infinity, 1.0F};
    const auto scores_at = [&](double clip) {
        CandidateScorer scorer(find_method("easy-reference"), {nullptr, nullptr, losses}, pool.info,
                               {.clip = clip});
        std::vector<float> scores(8);
        scorer.score(candidates, candidates.ids, std::vector<RowRange>{{0, 8}}, scores);
        return scores;
    };
    const std::vector<float> limited = scores_at(1.0), whole = scores_at(0.0);
    const std::vector<float> expected{1.0F, 0.0F, -0.5F, 0.5F, -1.0F, 0.0F, 0.0F, -1.0F};
    for (std::size_t i = 0; i < 8; ++i) {
        if (!std::isfinite(losses[i])) {
            CHECK_FALSE(std::isfinite(limited[i]));
        } else {
            CHECK(limited[i] == expected[i]);
            CHECK(whole[i] == -losses[i]);
        }
    }
    const auto alone = make_local_collective();
    const int rounds = 20000;
    const auto share_of_the_first = [&](const std::vector<float>& scores) {
        double taken = 0.0;
        for (int round = 0; round < rounds; ++round) {
            const Selector selector{.name = "softmax", .round = static_cast<std::uint32_t>(round)};
            if (choose_sub_batch(*alone, scores, 1, selector).places.front() == 0) ++taken;
        }
        return taken / rounds;
    };
    CHECK(share_of_the_first(whole) == 1.0);
    double sum = 0.0;
    for (const double score : {1.0, 0.0, -0.5, 0.5, -1.0, -1.0}) sum += std::exp(score);
    const double share = std::exp(1.0) / sum;
    CHECK(std::abs(share_of_the_first(limited) - share) <
          4.5 * std::sqrt(share * (1.0 - share) / rounds));
}

TEST_CASE("models that take images of one size are not scored at another") {
    const MemoryPool pool = byte_pool(8, {1, 28, 28}, 4);
    for (const char* name : {"mlp", "cnn", "vit-tiny"}) {
        const auto model = make_model(spec_for_pool(name, pool.info), 3);
        CHECK_THROWS_WITH(losses_of(*model, pool, {0.5, false}),
                          contains(std::string("a ") + name + " takes images of one size"));
    }
    TrainOptions options;
    options.method = "hard-learner";
    options.scoring.resolution = 1.5;
    options.scoring.clip = -1.0;
    CHECK_THROWS_WITH(check_options(options), contains("scoring-resolution is 1.5") &&
                                                  contains("score-clip is -1, allowed: above 0"));
}
