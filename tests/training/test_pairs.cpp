#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <numeric>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/token_reader.hpp"
#include "src/training/prioritised/candidate_scorer.hpp"
#include "src/training/prioritised/sub_batch.hpp"
#include "src/training/trainer.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pair_pool.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

struct Result {
    std::map<std::string, std::string> bytes, online_bytes;
    std::map<std::string, std::vector<double>> steps, evaluations;
    std::map<std::string, double> flops;
    bool operator==(const Result&) const = default;
};

TrainOptions options_for(const std::string& method) {
    TrainOptions options;
    options.method = method;
    options.epochs = 2;
    options.batch_size = 16;
    options.optimizer = OptimizerKind::adamw;
    options.learning_rate = 0.005;
    options.reproducible = true;
    options.temperature = 0.1;
    return options;
}

/// A model that has learned what captions mean.
std::unique_ptr<Model> clean_reference() {
    static const std::unique_ptr<Model> trained = [] {
        const MemoryPool pool = pair_pool(256, 1, 0.0, 77);
        auto model = make_model(pair_spec(pool.info), 11);
        const auto source = all_examples(pool);
        const auto collective = make_local_collective();
        TrainOptions options = options_for("uniform");
        options.updates = 150;
        options.batch_size = 32;
        Trainer(*model, *source, nullptr, options, *collective).run();
        return model;
    }();
    return trained->clone();
}

Result train_over(int ranks, const MemoryPool& pool, const TrainOptions& options,
                  const ModelSpec& spec) {
    const auto reference = clean_reference();
    std::vector<Result> results(static_cast<std::size_t>(ranks));
    run_simulated_ranks(ranks, [&](Collective& collective) {
        const auto learner = make_model(spec, 7), online = make_model(pair_spec(pool.info, {8}), 8);
        const auto own_reference = reference->scoring_form();
        const auto source = all_examples(pool), held_out = all_examples(pool);
        Trainer trainer(*learner, *source, held_out.get(), options, collective,
                        {online.get(), own_reference.get()});
        trainer.run();
        results[static_cast<std::size_t>(collective.rank())] = {
            bytes_of(*learner), bytes_of(*online), trainer.curves().steps,
            trainer.curves().evaluations, trainer.flops()};
    });
    for (const Result& result : results) CHECK(result == results.front());
    return results.front();
}

Result train_over(int ranks, const MemoryPool& pool, const TrainOptions& options) {
    return train_over(ranks, pool, options, pair_spec(pool.info));
}

Examples fetch_all(const MemoryPool& pool) {
    std::vector<std::int64_t> positions(static_cast<std::size_t>(pool.info.rows));
    std::iota(positions.begin(), positions.end(), 0);
    Examples examples;
    all_examples(pool)->fetch(positions, examples);
    return examples;
}

double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("an update over ranks is the gradient of the loss of the whole batch") {
    // One step of plain gradient descent, against automatic differentiation of the loss at once.
    const MemoryPool pool = pair_pool(24);
    const auto model = make_model(pair_spec(pool.info), 3);
    const Examples examples = fetch_all(pool);
    const at::Tensor images =
        model
            ->forward(InputReader(model->spec(), pool.info.element_type, 1.0, "cpu")
                          .read(examples.inputs))
            .embedding;
    const at::Tensor texts =
        model->embed_text(read_tokens(examples.tokens, *model->spec().towers, "cpu"));
    const at::Tensor logits = images.matmul(texts.t()).mul(model->pair_scale().scale);
    const at::Tensor target = at::arange(24, at::kLong);
    at::cross_entropy_loss(logits, target)
        .add(at::cross_entropy_loss(logits.t(), target))
        .mul(0.5)
        .backward();

    TrainOptions options;
    options.updates = 1;
    options.batch_size = 24;
    options.momentum = 0.0;
    options.weight_decay = 0.0;
    options.learning_rate = 1.0;
    options.schedule = ScheduleKind::constant;
    for (const int ranks : {1, 2, 3, 4}) {
        for (const bool reproducible : {false, true}) {
            INFO(ranks << " ranks" << (reproducible ? ", reproducible" : ""));
            options.reproducible = reproducible;
            std::map<std::string, double> furthest;
            run_simulated_ranks(ranks, [&](Collective& collective) {
                const auto trained = make_model(pair_spec(pool.info), 3);
                const auto source = all_examples(pool);
                Trainer(*trained, *source, nullptr, options, collective).run();
                if (!collective.is_root()) return;
                const c10::NoGradGuard no_grad;
                const auto before = model->parameters(), after = trained->parameters();
                for (std::size_t i = 0; i < before.size(); ++i) {
                    if (before[i].name == "bias") continue;
                    const at::Tensor expected = before[i].tensor.sub(before[i].tensor.grad());
                    furthest[before[i].name] =
                        expected.sub(after[i].tensor).abs().max().item<double>();
                }
            });
            for (const auto& [name, difference] : furthest) {
                INFO(name);
                CHECK(difference < 2e-5);
            }
        }
    }
}

TEST_CASE("training on pairs has the same bits for 1, 2, 3 and 4 ranks") {
    // 37 images with 2 captions each: images meet themselves, and the last batch is small.
    const MemoryPool pool = pair_pool(37, 2, 0.3);
    for (const ContrastiveKind kind : {ContrastiveKind::softmax, ContrastiveKind::sigmoid}) {
        for (const char* method : {"uniform", "learnability"}) {
            INFO(method << (kind == ContrastiveKind::softmax ? " softmax" : " sigmoid"));
            TrainOptions options = options_for(method);
            options.contrastive = kind;
            options.epochs = 1;
            const Result one = train_over(1, pool, options);
            for (const int ranks : {2, 3, 4}) {
                INFO(ranks << " ranks");
                CHECK(train_over(ranks, pool, options) == one);
            }
        }
    }
}

TEST_CASE("a residual image tower, whose statistics run, has the same bits for 1 and 3 ranks") {
    MemoryPool pool = byte_pool(12, {1, 8, 8}, 4);
    const MemoryPool captions = pair_pool(12);
    pool.tokens = captions.tokens;
    pool.image_ids = captions.image_ids;
    pool.info.token_length = captions.info.token_length;
    pool.info.vocabulary = captions.info.vocabulary;
    ModelSpec spec = pair_spec(pool.info);
    spec.towers->image = "resnet18";
    TrainOptions options = options_for("uniform");
    options.updates = 2;
    options.batch_size = 8;
    options.logical_shards = 4;
    const auto train = [&](int ranks) {
        std::map<std::string, std::string> bytes;
        run_simulated_ranks(ranks, [&](Collective& collective) {
            const auto model = make_model(spec, 7);
            const auto source = all_examples(pool);
            Trainer(*model, *source, nullptr, options, collective).run();
            if (collective.is_root()) bytes = bytes_of(*model);
        });
        return bytes;
    };
    CHECK(train(3) == train(1));
}

TEST_CASE("a reference learns beside the learner, on all candidates, over any ranks") {
    const MemoryPool pool = pair_pool(40, 1, 0.3);
    TrainOptions options = options_for("learnability");
    options.updates = 3;
    const auto train = [&](int ranks) {
        std::map<std::string, std::string> bytes;
        run_simulated_ranks(ranks, [&](Collective& collective) {
            const auto learner = make_model(pair_spec(pool.info), 7);
            const auto online = make_model(pair_spec(pool.info, {8}), 8);
            const auto reference = make_model(pair_spec(pool.info, {8}), 9);
            const auto source = all_examples(pool);
            Trainer trainer(*learner, *source, nullptr, options, collective,
                            {online.get(), reference.get(), true});
            trainer.run();
            if (collective.is_root()) bytes = bytes_of(*reference);
        });
        return bytes;
    };
    const auto one = train(1);
    CHECK(one != bytes_of(*make_model(pair_spec(pool.info, {8}), 9)));
    CHECK(train(3) == one);
}

TEST_CASE("a filter ratio of 1 is uniform training on pairs, bit for bit") {
    const MemoryPool pool = pair_pool(50, 1, 0.3);
    const Result uniform = train_over(2, pool, options_for("uniform"));
    TrainOptions options = options_for("learnability");
    options.filter_ratio = 1.0;
    CHECK(train_over(2, pool, options) == uniform);
}

TEST_CASE("captions of the same image are no negatives of each other") {
    // One image and all its captions: nothing is left to tell apart.
    const MemoryPool pool = pair_pool(1, 8);
    const auto model = make_model(pair_spec(pool.info), 3);
    const auto before = bytes_of(*model);
    TrainOptions options;
    options.updates = 1;
    options.weight_decay = 0.0;
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    Trainer trainer(*model, *source, nullptr, options, *collective);
    trainer.run();
    CHECK(trainer.curves().steps.at("loss").front() == Approx(0.0).margin(1e-6));
    CHECK(bytes_of(*model) == before);
}

TEST_CASE("training on pairs in two parts equals training at once, bit for bit") {
    const MemoryPool pool = pair_pool(80, 1, 0.3), few = pair_pool(20, 1, 0.0, 5);
    const auto reference = clean_reference();
    TrainOptions options = options_for("learnability");
    options.updates = 12;
    options.patience = 30;
    options.evaluate_every = 3;
    const auto source = all_examples(pool), held_out = all_examples(few);
    const auto collective = make_local_collective();
    struct Models {
        std::unique_ptr<Model> learner, online;
    };
    const auto make = [&](std::uint64_t seed) {
        return Models{make_model(pair_spec(pool.info), seed),
                      make_model(pair_spec(pool.info, {8}), seed)};
    };
    const auto trainer_of = [&](const Models& models) {
        return Trainer(*models.learner, *source, held_out.get(), options, *collective,
                       {models.online.get(), reference.get()});
    };
    const Models whole = make(7), before = make(7), after = make(9);
    Trainer undisturbed = trainer_of(whole);
    undisturbed.run();
    Trainer first = trainer_of(before);
    CHECK(first.run([](const TrainProgress& progress) { return progress.step < 5; }) ==
          TrainEnd::interrupted);
    Trainer second = trainer_of(after);
    second.import_state(first.export_state());
    second.run();
    CHECK(bytes_of(*after.learner) == bytes_of(*whole.learner));
    CHECK(bytes_of(*after.online) == bytes_of(*whole.online));
    CHECK((second.export_state() == undisturbed.export_state()));
}

TEST_CASE("the score of a pair depends on nothing but the pair") {
    const MemoryPool pool = pair_pool(40, 1, 0.5);
    const auto online = make_model(pair_spec(pool.info), 1), reference = clean_reference();
    const Examples all = fetch_all(pool);
    const auto scores = [&](const char* name, const Examples& examples,
                            const std::vector<RowRange>& pieces) {
        std::vector<float> result(examples.ids.size());
        CandidateScorer scorer(find_method(name), {online.get(), reference.get(), {}}, pool.info);
        scorer.score(examples, examples.ids, pieces, result);
        return result;
    };
    const auto whole = scores("learnability", all, {{0, 40}});
    const auto in_pieces = scores("learnability", all, {{0, 13}, {13, 14}, {14, 40}});
    const auto hard = scores("hard-learner", all, {{0, 40}});
    const auto easy = scores("easy-reference", all, {{0, 40}});
    const c10::NoGradGuard no_grad;
    const at::Tensor images =
        online
            ->forward(
                InputReader(online->spec(), pool.info.element_type, 1.0, "cpu").read(all.inputs))
            .embedding;
    const at::Tensor texts =
        online->embed_text(read_tokens(all.tokens, *online->spec().towers, "cpu"));
    const at::Tensor alignment = images.mul(texts).sum(1);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        CHECK(in_pieces[i] == Approx(whole[i]).margin(1e-6));
        CHECK(whole[i] == Approx(hard[i] + easy[i]).margin(1e-6));
        CHECK(hard[i] ==
              Approx(-alignment[static_cast<std::int64_t>(i)].item<double>()).margin(1e-6));
        Examples alone;
        const std::vector<std::int64_t> position{static_cast<std::int64_t>(i)};
        all_examples(pool)->fetch(position, alone);
        CHECK(scores("learnability", alone, {{0, 1}})[0] == Approx(whole[i]).margin(1e-6));
    }
}

TEST_CASE("chosen pairs reach the ranks that train on them with their captions") {
    const MemoryPool pool = pair_pool(10, 2, 0.5);
    const std::vector<std::int64_t> places{0, 1, 2, 3, 17, 19};
    for (const bool has_truth : {true, false}) {
        MemoryPool given = pool;
        if (!has_truth) given.caption_of.clear();
        run_simulated_ranks(4, [&](Collective& collective) {
            // Of 20 candidates dealt out as 2 shards, two ranks have none.
            const ShardPlan dealt{2, 4}, plan{4, 4};
            const RowRange own = dealt.rank_rows(20, collective.rank());
            std::vector<std::int64_t> positions(static_cast<std::size_t>(own.size()));
            std::iota(positions.begin(), positions.end(), own.begin);
            Examples candidates, chosen, expected;
            const auto source = all_examples(given);
            source->fetch(positions, candidates);
            move_chosen(collective, candidates, own, places, plan, chosen);
            const RowRange wanted = plan.rank_rows(6, collective.rank());
            source->fetch(std::span(places).subspan(static_cast<std::size_t>(wanted.begin),
                                                    static_cast<std::size_t>(wanted.size())),
                          expected);
            if (chosen.inputs != expected.inputs || chosen.tokens != expected.tokens ||
                chosen.image_ids != expected.image_ids || chosen.ids != expected.ids ||
                chosen.caption_of != expected.caption_of) {
                fail("rank {} has other pairs than were chosen", collective.rank());
            }
        });
    }
}

TEST_CASE("a two-tower learns to find images by captions it has not seen") {
    const MemoryPool pool = pair_pool(512), held_out = pair_pool(40, 1, 0.0, 9);
    const auto model = make_model(pair_spec(pool.info), 1);
    const auto source = all_examples(pool), validation = all_examples(held_out);
    const auto collective = make_local_collective();
    for (const ContrastiveKind kind : {ContrastiveKind::softmax, ContrastiveKind::sigmoid}) {
        TrainOptions options = options_for("uniform");
        options.contrastive = kind;
        options.reproducible = false;
        options.epochs = 12;
        options.batch_size = 32;
        const auto trained = model->clone();
        Trainer trainer(*trained, *source, validation.get(), options, *collective);
        trainer.run();
        // Chance is 5 of 40, and 1 of 32; of the 64 things to say some are said twice.
        CHECK(trainer.curves().evaluations.at("validation_recall_at_5").back() > 0.6);
        CHECK(trainer.curves().evaluations.at("train_accuracy").back() > 0.3);
    }
}

TEST_CASE("shuffled captions are avoided by learnability and sought by hard-learner") {
    const MemoryPool pool = pair_pool(1024, 1, 0.5);
    const auto noisy_share = [&](const char* method) {
        TrainOptions options = options_for(method);
        options.updates = 40;
        options.batch_size = 32;
        return mean(train_over(1, pool, options).steps.at("noisy_share"));
    };
    const double uniform = noisy_share("uniform");
    CHECK(uniform == Approx(0.5).margin(0.03));
    CHECK(noisy_share("learnability") < uniform - 0.1);
    CHECK(noisy_share("easy-reference") < uniform - 0.1);
    CHECK(noisy_share("hard-learner") > uniform);
}

TEST_CASE("empty captions teach nothing and are not chosen") {
    MemoryPool pool = pair_pool(48);
    for (std::size_t row = 0; row < 16; ++row) {
        std::fill_n(pool.tokens.begin() + static_cast<std::ptrdiff_t>(6 * row), 6, 0);
    }
    const auto train = [&](const char* method) {
        const auto learner = make_model(pair_spec(pool.info), 1),
                   online = make_model(pair_spec(pool.info), 2);
        const auto source = all_examples(pool);
        const auto collective = make_local_collective();
        Trainer trainer(*learner, *source, nullptr, options_for(method), *collective,
                        {online.get()});
        trainer.run();
        for (const double loss : trainer.curves().steps.at("loss")) CHECK(std::isfinite(loss));
        return std::pair(trainer.rows_without_target(), trainer.candidates_without_score());
    };
    CHECK((train("uniform") == std::pair<std::int64_t, std::int64_t>(32, 0)));
    CHECK((train("hard-learner") == std::pair<std::int64_t, std::int64_t>(0, 32)));
}

TEST_CASE("models and pools that do not go together are refused") {
    const MemoryPool pairs = pair_pool(20), classes = quadrant_pool(20);
    const auto collective = make_local_collective();
    const auto fails = [&](const ModelSpec& spec, const MemoryPool& pool, const char* text,
                           TrainOptions options = options_for("uniform"),
                           Companions companions = {}) {
        const auto model = make_model(spec, 1);
        const auto source = all_examples(pool);
        CHECK_THROWS_WITH(Trainer(*model, *source, nullptr, options, *collective, companions),
                          contains(text));
    };
    const auto towers = make_model(pair_spec(pairs.info), 3);
    ModelSpec spec = pair_spec(pairs.info);
    spec.input_shape = {2};
    fails(spec, classes, "has no captions");
    ModelSpec perceptron;
    perceptron.name = "mlp";
    perceptron.input_shape = {12};
    perceptron.classes = 3;
    fails(perceptron, pairs, "or train a two-tower on its captions");
    TrainOptions smooth = options_for("uniform");
    smooth.label_smoothing = 0.1;
    fails(pair_spec(pairs.info), pairs, "captions are no labels", smooth);
    TrainOptions weighted = options_for("learnability");
    weighted.importance_weights = true;
    fails(pair_spec(pairs.info), pairs, "a contrastive loss compares the pairs of a batch",
          weighted, {towers.get(), towers.get()});
    {
        const auto learner = make_model(pair_spec(pairs.info), 1),
                   online = make_model(perceptron, 2);
        const auto source = all_examples(pairs);
        MemoryPool images = pairs;
        images.info.token_length = images.info.vocabulary = 0;
        const auto held_out = all_examples(images);
        CHECK_THROWS_WITH(
            Trainer(*learner, *source, held_out.get(), options_for("uniform"), *collective),
            contains("has no captions"));
        CHECK_THROWS_WITH(Trainer(*learner, *source, nullptr, options_for("hard-learner"),
                                  *collective, {online.get()}),
                          contains("has no targets"));
    }
    const auto classifier = make_model(perceptron, 2);
    fails(pair_spec(pairs.info), pairs, "two of a kind", options_for("learnability"),
          {towers.get(), classifier.get()});
}
