#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/training/prioritised/candidate_scorer.hpp"
#include "src/training/prioritised/sub_batch.hpp"
#include "src/training/trainer.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/training/noisy_pool.hpp"

using namespace thresher;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Result {
    std::map<std::string, std::string> bytes, online_bytes;
    std::map<std::string, std::vector<double>> steps;
    std::map<std::string, double> flops;
    bool operator==(const Result&) const = default;
};

/// Which companions a run has.
struct Roles {
    bool online = true, reference = true, train_reference = false;
};

Result train_over(int ranks, const MemoryPool& pool, const TrainOptions& options,
                  const Roles& roles = {}) {
    const auto reference = clean_reference();
    std::vector<Result> results(static_cast<std::size_t>(ranks));
    run_simulated_ranks(ranks, [&](Collective& collective) {
        const auto learner = make_model(small_spec(pool.info, {16, 16}), 7);
        const auto online = make_model(small_spec(pool.info), 8);
        const auto own_reference = roles.train_reference ? make_model(small_spec(pool.info), 9)
                                                         : reference->scoring_form();
        const auto source = all_examples(pool);
        Companions companions;
        if (roles.online) companions.online = online.get();
        if (roles.reference) companions.reference = own_reference.get();
        companions.train_reference = roles.train_reference;
        Trainer trainer(*learner, *source, nullptr, options, collective, companions);
        trainer.run();
        results[static_cast<std::size_t>(collective.rank())] = {
            bytes_of(*learner), bytes_of(*online), trainer.curves().steps, trainer.flops()};
    });
    for (const Result& result : results) CHECK(result == results.front());
    return results.front();
}

TrainOptions options_for(const std::string& method) {
    TrainOptions options;
    options.method = method;
    options.epochs = 2;
    options.batch_size = 16;
    options.learning_rate = 0.05;
    options.reproducible = true;
    return options;
}

double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("a filter ratio of 1 is uniform training, bit for bit") {
    const MemoryPool pool = noisy_pool(100, 0.3);
    const Result uniform = train_over(2, pool, options_for("uniform"));
    for (const Method& method : methods()) {
        if (method.joint) continue;  // of pairs: test_jest.cpp
        INFO(method.name);
        TrainOptions options = options_for(std::string(method.name));
        options.filter_ratio = 1.0;
        CHECK(train_over(2, pool, options) == uniform);
    }
}

TEST_CASE("prioritised training has the same bits for 1, 2, 3 and 4 ranks") {
    // 101 rows: the last candidates are fewer than there are shards.
    const MemoryPool pool = noisy_pool(101, 0.3);
    for (const Method& method : methods()) {
        if (method.joint) continue;  // of pairs: test_jest.cpp
        INFO(method.name);
        const Result one = train_over(1, pool, options_for(std::string(method.name)));
        for (const int ranks : {2, 3, 4}) {
            INFO(ranks << " ranks");
            CHECK(train_over(ranks, pool, options_for(std::string(method.name))) == one);
        }
    }
    TrainOptions options = options_for("learnability");
    options.filter_ratio = 3.0;
    options.importance_weights = true;
    options.scoring.clip = 0.5;
    const Roles roles{.online = true, .reference = true, .train_reference = true};
    const Result one = train_over(1, pool, options, roles);
    for (const int ranks : {2, 4}) CHECK(train_over(ranks, pool, options, roles) == one);
}

TEST_CASE("learnability is hard-learner plus easy-reference, and nothing where the models agree") {
    const MemoryPool pool = noisy_pool(40, 0.5);
    const auto online = make_model(small_spec(pool.info), 1), reference = clean_reference();
    const auto source = all_examples(pool);
    std::vector<std::int64_t> positions(40);
    std::iota(positions.begin(), positions.end(), 0);
    Examples examples;
    source->fetch(positions, examples);
    const auto scores = [&](const char* name, Model* first, Model* second) {
        std::vector<float> result(40);
        CandidateScorer scorer(find_method(name), {first, second, {}}, pool.info);
        const std::vector<RowRange> pieces{{0, 13}, {13, 40}};
        scorer.score(examples, positions, pieces, result);
        return result;
    };
    const auto hard = scores("hard-learner", online.get(), nullptr);
    const auto easy = scores("easy-reference", nullptr, reference.get());
    const auto both = scores("learnability", online.get(), reference.get());
    for (std::size_t i = 0; i < both.size(); ++i) {
        CHECK(hard[i] > 0.0F);
        CHECK(easy[i] < 0.0F);
        CHECK(both[i] == Approx(hard[i] + easy[i]).margin(1e-6));
    }
    for (const float score : scores("learnability", reference.get(), reference.get())) {
        CHECK(score == 0.0F);
    }
}

TEST_CASE("candidates are kept in proportion to their softmax, without replacement") {
    const std::vector<double> weights{1.0, 2.0, 3.0, 4.0};
    std::vector<float> scores;
    for (const double weight : weights) scores.push_back(static_cast<float>(std::log(weight)));
    // First pick i, then j among the others: summed over both orders.
    std::vector<double> expected(4, 0.0);
    for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t j = 0; j < 4; ++j) {
            if (i == j) continue;
            const double pair = weights[i] / 10.0 * weights[j] / (10.0 - weights[i]);
            expected[i] += pair;
            expected[j] += pair;
        }
    }
    const auto collective = make_local_collective();
    const int rounds = 40000;
    std::vector<double> found(4, 0.0);
    Selector selector;
    selector.name = "softmax";
    for (int round = 0; round < rounds; ++round) {
        selector.round = static_cast<std::uint32_t>(round);
        const SubBatch sub_batch = choose_sub_batch(*collective, scores, 2, selector);
        REQUIRE(sub_batch.places.size() == 2);
        CHECK(sub_batch.places[0] < sub_batch.places[1]);
        for (const std::int64_t place : sub_batch.places)
            found[static_cast<std::size_t>(place)] += 1;
    }
    for (std::size_t i = 0; i < 4; ++i) {
        const double deviation = std::sqrt(expected[i] * (1.0 - expected[i]) / rounds);
        CHECK(std::abs(found[i] / rounds - expected[i]) < 4.5 * deviation);
    }
}

TEST_CASE("a low temperature follows the scores, top-k takes the largest") {
    std::vector<float> scores(64);
    const KeyedRandom random(6, Stream::synthetic, 0);
    for (std::size_t i = 0; i < scores.size(); ++i) {
        scores[i] = static_cast<float>(random.normal(static_cast<std::int64_t>(i)));
    }
    std::vector<float> sorted = scores;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    const double best = std::accumulate(sorted.begin(), sorted.begin() + 16, 0.0) / 16.0;
    const auto alone = make_local_collective();
    const auto chosen = [&](const char* name, double temperature) {
        Selector selector;
        selector.name = name;
        selector.beta = 1.0 / temperature;
        return choose_sub_batch(*alone, scores, 16, selector).chosen_score;
    };
    CHECK(chosen("top-k", 1.0) == Approx(best));
    CHECK(chosen("softmax", 1e-4) == Approx(best));

    const MemoryPool pool = noisy_pool(512, 0.0);
    const auto mean_gain = [&](double temperature) {
        TrainOptions options = options_for("hard-learner");
        options.temperature = temperature;
        const Result result = train_over(1, pool, options);
        return mean(result.steps.at("chosen_score")) - mean(result.steps.at("candidate_score"));
    };
    const double cold = mean_gain(0.01), warm = mean_gain(0.5), hot = mean_gain(100.0);
    CHECK(cold > 1.2 * warm);
    CHECK(warm > hot + 0.01);
}

TEST_CASE("under rho-loss the learner scores ten times as many as it is trained on") {
    const MemoryPool pool = noisy_pool(640, 0.2);
    TrainOptions options = options_for("rho-loss");
    options.updates = 2;
    const Result result = train_over(1, pool, options);
    // 2 inputs, hidden layers of 16 and 16, 4 classes.
    const double learner = 2.0 * (2 * 16 + 16 * 16 + 16 * 4), reference = 2.0 * (2 * 8 + 8 * 4);
    const std::map<std::string, double> expected{{"learner", 2 * 3 * 16 * learner},
                                                 {"score_online", 2 * 160 * learner},
                                                 {"score_reference", 2 * 160 * reference}};
    CHECK(result.flops == expected);
    CHECK(result.online_bytes == bytes_of(*make_model(small_spec(pool.info), 8)));
}

TEST_CASE("the choice is unchanged by a constant and by the number of ranks") {
    std::vector<float> scores(64), shifted(64);
    const KeyedRandom random(5, Stream::synthetic, 0);
    for (std::size_t i = 0; i < scores.size(); ++i) {
        scores[i] = static_cast<float>(random.integer(static_cast<std::int64_t>(i), 1024)) / 256.0F;
        shifted[i] = scores[i] + 32.0F;
    }
    Selector selector;
    selector.name = "softmax";
    const auto alone = make_local_collective();
    for (std::uint32_t round = 0; round < 20; ++round) {
        selector.round = round;
        const auto expected = choose_sub_batch(*alone, scores, 32, selector);
        CHECK(choose_sub_batch(*alone, shifted, 32, selector).places == expected.places);
        for (const int ranks : {2, 3, 4}) {
            run_simulated_ranks(ranks, [&](Collective& collective) {
                const ShardPlan plan{ranks, ranks};
                const RowRange own = plan.rank_rows(64, collective.rank());
                const auto part = std::span<const float>(scores).subspan(
                    static_cast<std::size_t>(own.begin), static_cast<std::size_t>(own.size()));
                const auto found = choose_sub_batch(collective, part, 32, selector);
                CHECK(found.places == expected.places);
                CHECK(found.chosen_score == expected.chosen_score);
            });
        }
    }
}

TEST_CASE("candidates without a finite score are not chosen, unless there are no others") {
    const auto collective = make_local_collective();
    Selector selector;
    selector.name = "softmax";
    const std::vector<float> some{kNan, 1.0F, kNan, 3.0F, -1.0F};
    const SubBatch all = choose_sub_batch(*collective, some, 4, selector);
    CHECK(all.places == std::vector<std::int64_t>{1, 3, 4});
    CHECK(all.without_score == 2);
    CHECK(all.candidate_score == Approx(1.0));
    CHECK(all.chosen_score == Approx(1.0));
    const std::vector<float> none{kNan, kNan, kNan};
    const SubBatch first = choose_sub_batch(*collective, none, 2, selector);
    CHECK(first.places == std::vector<std::int64_t>{0, 1});
    CHECK(std::isnan(first.chosen_score));
}

TEST_CASE("chosen examples reach the ranks that train on them") {
    const MemoryPool pool = noisy_pool(20, 0.5);
    const std::vector<std::int64_t> places{0, 1, 2, 3, 17, 19};  // most lie on the first rank
    run_simulated_ranks(3, [&](Collective& collective) {
        const ShardPlan plan{3, 3};
        const RowRange own = plan.rank_rows(20, collective.rank());
        std::vector<std::int64_t> positions;
        for (std::int64_t i = own.begin; i < own.end; ++i) positions.push_back(i);
        Examples candidates, chosen, expected;
        const auto source = all_examples(pool);
        source->fetch(positions, candidates);
        move_chosen(collective, candidates, own, places, plan, chosen);
        const RowRange wanted = plan.rank_rows(6, collective.rank());
        source->fetch(std::span(places).subspan(static_cast<std::size_t>(wanted.begin),
                                                static_cast<std::size_t>(wanted.size())),
                      expected);
        CHECK(chosen.inputs == expected.inputs);
        CHECK(chosen.targets == expected.targets);
        CHECK(chosen.clean_targets == expected.clean_targets);
        CHECK(chosen.ids == expected.ids);
    });
}

TEST_CASE("noisy rows are avoided by learnability and sought by hard-learner") {
    const MemoryPool pool = noisy_pool(2048, 0.4);
    const auto noisy_share = [&](const char* method) {
        TrainOptions options = options_for(method);
        options.updates = 120;
        options.batch_size = 32;
        return mean(train_over(1, pool, options).steps.at("noisy_share"));
    };
    const double uniform = noisy_share("uniform");
    CHECK(uniform == Approx(0.3).margin(0.02));  // a quarter of the 40 % kept their class
    CHECK(noisy_share("learnability") < uniform - 0.05);
    CHECK(noisy_share("easy-reference") < uniform - 0.05);
    CHECK(noisy_share("hard-learner") > uniform + 0.05);
}

TEST_CASE("prioritised training in two parts equals training at once, bit for bit") {
    const MemoryPool pool = noisy_pool(200, 0.3);
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    TrainOptions options = options_for("learnability");
    options.updates = 20;
    options.optimizer = OptimizerKind::adamw;
    options.learning_rate = 0.01;
    struct Models {
        std::unique_ptr<Model> learner, online, reference;
        explicit Models(const PoolInfo& info, std::uint64_t seed)
            : learner(make_model(small_spec(info, {16}), seed)),
              online(make_model(small_spec(info), seed + 1)),
              reference(make_model(small_spec(info), seed + 2)) {}
        Companions companions() const { return {online.get(), reference.get(), true, {}}; }
    };
    const Models whole(pool.info, 1), before(pool.info, 1), after(pool.info, 50);
    Trainer undisturbed(*whole.learner, *source, nullptr, options, *collective, whole.companions());
    CHECK(undisturbed.run() == TrainEnd::finished);
    Trainer first(*before.learner, *source, nullptr, options, *collective, before.companions());
    CHECK(first.run([](const TrainProgress& progress) { return progress.step < 7; }) ==
          TrainEnd::interrupted);
    Trainer second(*after.learner, *source, nullptr, options, *collective, after.companions());
    second.import_state(first.export_state());
    CHECK(second.run() == TrainEnd::finished);
    CHECK(bytes_of(*after.learner) == bytes_of(*whole.learner));
    CHECK(bytes_of(*after.online) == bytes_of(*whole.online));
    CHECK(bytes_of(*after.reference) == bytes_of(*whole.reference));
    CHECK(second.curves().steps == undisturbed.curves().steps);
    CHECK(second.flops() == undisturbed.flops());
}

TEST_CASE("losses that are looked up stand for a frozen reference") {
    const MemoryPool pool = noisy_pool(256, 0.3);
    const auto reference = clean_reference();
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    std::vector<std::int64_t> positions(256);
    std::iota(positions.begin(), positions.end(), 0);
    Examples examples;
    source->fetch(positions, examples);
    std::vector<float> losses(256);
    CandidateScorer scorer(find_method("easy-reference"), {nullptr, reference.get(), {}},
                           pool.info);
    scorer.score(examples, positions, std::vector<RowRange>{{0, 256}}, losses);
    for (float& loss : losses) loss = -loss;

    TrainOptions options = options_for("easy-reference");
    const auto train = [&](const Companions& companions) {
        const auto learner = make_model(small_spec(pool.info), 3);
        Trainer trainer(*learner, *source, nullptr, options, *collective, companions);
        trainer.run();
        return std::pair(trainer.curves().steps.at("chosen_score"), trainer.flops());
    };
    const auto [by_model, model_flops] = train({nullptr, reference.get(), false, {}});
    const auto [by_table, table_flops] = train({nullptr, nullptr, false, losses});
    REQUIRE(by_model.size() == by_table.size());
    for (std::size_t i = 0; i < by_model.size(); ++i) {
        CHECK(by_table[i] == Approx(by_model[i]).margin(1e-5));
    }
    CHECK(model_flops.contains("score_reference"));
    CHECK_FALSE(table_flops.contains("score_reference"));
}

TEST_CASE("operations are counted by what they were for") {
    // 2 inputs, 4 classes; the learner has one hidden layer of 16, the others none.
    const MemoryPool pool = noisy_pool(64, 0.0);
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    const auto learner = make_model(small_spec(pool.info, {16}), 1);
    const auto online = make_model(small_spec(pool.info, {}), 2);
    const auto reference = make_model(small_spec(pool.info, {}), 3);
    TrainOptions options = options_for("learnability");
    options.updates = 3;
    options.filter_ratio = 4.0;
    Trainer trainer(*learner, *source, nullptr, options, *collective,
                    {online.get(), reference.get(), true, {}});
    trainer.run();
    const double small = 2.0 * 2.0 * 4.0, large = 2.0 * (2.0 * 16.0 + 16.0 * 4.0);
    const std::map<std::string, double> expected{{"learner", 3 * 3 * 16 * large},
                                                 {"online", 3 * 3 * 16 * small},
                                                 {"reference", 3 * 3 * 64 * small},
                                                 {"score_online", 3 * 64 * small},
                                                 {"score_reference", 3 * 64 * small}};
    CHECK(trainer.flops() == expected);
}

TEST_CASE("evaluations come every so many updates") {
    const MemoryPool pool = noisy_pool(64, 0.0);
    const auto source = all_examples(pool), held_out = all_examples(pool);
    const auto collective = make_local_collective();
    const auto learner = make_model(small_spec(pool.info), 1);
    TrainOptions options = options_for("uniform");
    options.updates = 11;
    options.evaluate_every = 4;
    Trainer trainer(*learner, *source, held_out.get(), options, *collective);
    trainer.run();
    const auto& curves = trainer.curves().evaluations;
    CHECK(curves.at("update") == std::vector<double>{4, 8, 11});
    CHECK(curves.at("validation_loss").size() == 3);
    // The rows of one batch each: the mean of the losses since the evaluation before.
    const auto& losses = trainer.curves().steps.at("loss");
    CHECK(curves.at("train_loss")[2] == Approx((losses[8] + losses[9] + losses[10]) / 3.0));
}

TEST_CASE("rows without a target are candidates that are never chosen") {
    MemoryPool pool = noisy_pool(64, 0.0);
    for (std::size_t i = 0; i < 64; i += 2) pool.targets[i] = -1;
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    const auto learner = make_model(small_spec(pool.info), 1);
    TrainOptions options = options_for("hard-learner");
    options.epochs = 3;
    Trainer trainer(*learner, *source, nullptr, options, *collective);
    trainer.run();
    CHECK(trainer.rows_without_target() == 0);
    CHECK(trainer.candidates_without_score() == 3 * 32);
}

TEST_CASE("prioritised training that cannot go well is refused or ends with an error") {
    MemoryPool pool = noisy_pool(64, 0.2);
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    const auto learner = make_model(small_spec(pool.info), 1);
    const auto start = [&](const TrainOptions& options, const Companions& companions = {}) {
        Trainer trainer(*learner, *source, nullptr, options, *collective, companions);
        trainer.run();
        return trainer.skipped_updates();
    };
    CHECK_THROWS_WITH(start(options_for("hardest")),
                      thresher::test::contains("'hardest' is not known") &&
                          thresher::test::contains("learnability"));
    CHECK_THROWS_WITH(start(options_for("learnability")),
                      thresher::test::contains("reference model, but there is none"));
    TrainOptions options = options_for("hard-learner");
    options.filter_ratio = 0.5;
    options.temperature = 0.0;
    CHECK_THROWS_WITH(start(options), thresher::test::contains("filter-ratio is 0.5") &&
                                          thresher::test::contains("temperature is 0"));
    options = options_for("uniform");
    options.filter_ratio = 2.0;
    CHECK_THROWS_WITH(start(options), thresher::test::contains("1 for method uniform"));
    for (const char* method : {"uniform", "rho-loss", "jest"}) {
        options = options_for(method);
        options.contrastive = ContrastiveKind::sigmoid;
        options.importance_weights = true;
        CHECK_THROWS_WITH(start(options), thresher::test::contains("importance weights") &&
                                              thresher::test::contains(method));
    }

    MemoryPool other = byte_pool(8, {1, 16, 16}, 4);
    const auto misfit = make_model(small_spec(other.info), 1);
    CHECK_THROWS_WITH(start(options_for("learnability"), {nullptr, misfit.get(), false, {}}),
                      thresher::test::contains("a model that scores"));

    // An infinite input makes the loss of its row, and so of its batch, no number.
    const float infinity = std::numeric_limits<float>::infinity();
    std::memcpy(pool.inputs.data() + 2 * sizeof(float), &infinity, sizeof(float));
    options = options_for("uniform");
    options.epochs = 1;
    options.batch_size = 64;
    CHECK_THROWS_WITH(start(options), thresher::test::contains("the learner has a loss of nan") &&
                                          thresher::test::contains("at update 0") &&
                                          thresher::test::contains(", 1, "));
    options.batch_size = 16;
    options.skip_nan = true;
    CHECK(start(options) == 1);
    for (const NamedTensor& entry : learner->parameters()) {
        CHECK(entry.tensor.isfinite().all().item<bool>());
    }
    // Nothing is learned from one bad update after the other.
    options.batch_size = 64;
    options.epochs = 20;
    CHECK_THROWS_AS(start(options), Diverged);

    const std::vector<float> few(63, 0.0F);
    CHECK_THROWS_WITH(start(options_for("easy-reference"), {nullptr, nullptr, false, few}),
                      thresher::test::contains("63 losses of the reference for 64 rows"));
    CHECK_THROWS_WITH(start(options_for("easy-reference"), {nullptr, nullptr, true, {}}),
                      thresher::test::contains("a reference is to be trained"));
}
