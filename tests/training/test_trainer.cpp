#include "src/training/trainer.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/api/module.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/models/torchscript/torchscript.hpp"
#include "src/training/evaluation/evaluate.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;

namespace {

struct Result {
    std::map<std::string, std::string> bytes;
    std::map<std::string, std::vector<double>> steps, epochs;
    bool operator==(const Result&) const = default;
};

Result result_of(const Model& model, const Trainer& trainer) {
    return {bytes_of(model), trainer.curves().steps, trainer.curves().evaluations};
}

TrainOptions reproducible_options() {
    TrainOptions options;
    options.epochs = 2;
    options.batch_size = 16;
    options.reproducible = true;
    options.augment = AugmentKind::crop_flip;
    options.label_smoothing = 0.1;
    options.learning_rate = 0.02;
    return options;
}

/// Trains over simulated ranks; what rank 0 ends with, having checked that all ranks agree.
Result train_over(int ranks, const std::function<std::unique_ptr<Model>()>& make,
                  const MemoryPool& pool, const TrainOptions& options) {
    std::vector<Result> results(static_cast<std::size_t>(ranks));
    run_simulated_ranks(ranks, [&](Collective& collective) {
        auto model = make();
        const auto source = all_examples(pool), held_out = all_examples(pool);
        Trainer trainer(*model, *source, held_out.get(), options, collective);
        trainer.run();
        results[static_cast<std::size_t>(collective.rank())] = result_of(*model, trainer);
    });
    for (const Result& result : results) CHECK(result == results.front());
    return results.front();
}

Result train_over(int ranks, const std::string& name, const MemoryPool& pool,
                  const TrainOptions& options) {
    return train_over(
        ranks, [&] { return make_model(spec_for_pool(name, pool.info), 7); }, pool, options);
}

}  // namespace

TEST_CASE("reproducible training has the same bits for 1, 2, 3 and 4 ranks") {
    // 35 rows: the last batch has 5, fewer than there are shards.
    const MemoryPool pool = byte_pool(35, {1, 16, 16}, 4);
    for (const char* name : {"mlp", "cnn", "resnet18"}) {
        INFO(name);
        TrainOptions options = reproducible_options();
        options.batch_size = 10;
        if (std::string(name) == "mlp") options.optimizer = OptimizerKind::adamw;
        const bool is_large = std::string(name) == "resnet18";
        if (is_large) {
            options.epochs = 1;
            options.logical_shards = 4;
        }
        const Result one = train_over(1, name, pool, options);
        for (const int ranks : is_large ? std::vector<int>{3} : std::vector<int>{2, 3, 4}) {
            INFO(ranks << " ranks");
            CHECK(train_over(ranks, name, pool, options) == one);
        }
    }
}

TEST_CASE("more ranks than shards still agree") {
    const MemoryPool pool = byte_pool(12, {1, 16, 16}, 4);
    TrainOptions options = reproducible_options();
    options.logical_shards = 2;
    CHECK(train_over(4, "mlp", pool, options) == train_over(1, "mlp", pool, options));
}

TEST_CASE("plain data-parallel training gives the sums of one rank up to rounding") {
    const MemoryPool pool = byte_pool(32, {1, 16, 16}, 4);
    TrainOptions options = reproducible_options();
    options.reproducible = false;
    const Result one = train_over(1, "mlp", pool, options);
    const Result three = train_over(3, "mlp", pool, options);
    options.accumulate = 4;
    const Result pieces = train_over(1, "mlp", pool, options);
    for (std::size_t i = 0; i < one.steps.at("loss").size(); ++i) {
        CHECK(three.steps.at("loss")[i] == Approx(one.steps.at("loss")[i]).epsilon(1e-4));
        CHECK(pieces.steps.at("loss")[i] == Approx(one.steps.at("loss")[i]).epsilon(1e-4));
    }
}

TEST_CASE("training in two parts equals training at once, bit for bit") {
    const MemoryPool pool = byte_pool(100, {1, 16, 16}, 4), few = byte_pool(8, {1, 16, 16}, 4);
    const auto source = all_examples(pool), held_out = all_examples(few);
    const auto collective = make_local_collective();
    for (const char* name : {"mlp", "cnn", "resnet18"}) {
        for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
            INFO(name << (kind == OptimizerKind::sgd ? " sgd" : " adamw"));
            const bool is_large = std::string(name) == "resnet18";
            TrainOptions options;
            options.updates = is_large ? 3 : 40;
            options.batch_size = is_large ? 4 : 16;
            options.optimizer = kind;
            options.learning_rate = 0.005;
            options.augment = AugmentKind::crop_flip;
            options.patience = 30;
            const std::int64_t first_part = is_large ? 1 : 17;

            auto whole = make_model(spec_for_pool(name, pool.info), 7);
            Trainer undisturbed(*whole, *source, held_out.get(), options, *collective);
            CHECK(undisturbed.run() == TrainEnd::finished);

            auto before = make_model(spec_for_pool(name, pool.info), 7);
            Trainer first(*before, *source, held_out.get(), options, *collective);
            CHECK(first.run([&](const TrainProgress& progress) {
                return progress.step < first_part;
            }) == TrainEnd::interrupted);
            const TrainState state = first.export_state();

            auto after = make_model(spec_for_pool(name, pool.info), 8);
            Trainer second(*after, *source, held_out.get(), options, *collective);
            second.import_state(state);
            CHECK(second.steps_done() == first_part);
            CHECK(second.run() == TrainEnd::finished);
            CHECK(result_of(*after, second) == result_of(*whole, undisturbed));
            CHECK((second.export_state() == undisturbed.export_state()));
        }
    }
}

TEST_CASE("the first loss is the label-smoothed cross-entropy of the initial model") {
    // Logits are the biases (1, 0, 0): log-probabilities 1 - z, -z, -z with z = log(e + 2).
    const MemoryPool pool = vector_pool({0, 0, 0, 0}, 1, {0, 1, 2, 1}, 3);
    ModelSpec spec = spec_for_pool("mlp", pool.info);
    spec.hidden.clear();
    auto model = make_model(spec, 1);
    {
        const c10::NoGradGuard no_grad;
        for (const NamedTensor& entry : model->parameters()) entry.tensor.zero_();
        model->parameters().back().tensor[0] = 1.0F;
    }
    TrainOptions options;
    options.updates = 1;
    options.label_smoothing = 0.3;
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    Trainer trainer(*model, *source, nullptr, options, *collective);
    trainer.run();
    const double z = std::log(std::exp(1.0) + 2.0);
    const double plain = z - 1.0 / 4.0;    // the target is class 0 in one row of four
    const double uniform = z - 1.0 / 3.0;  // mean over the classes
    CHECK(trainer.curves().steps.at("loss").front() == Approx(0.7 * plain + 0.3 * uniform));
    CHECK(trainer.curves().evaluations.at("train_accuracy").front() == Approx(0.25));
    // 1 x 3 weights, 4 rows, 2 operations, forward and twice that backward.
    CHECK(trainer.flops().at("learner") == 3.0 * 2.0 * 3.0 * 4.0);
}

TEST_CASE("a perceptron learns the quadrants of the plane") {
    const MemoryPool pool = quadrant_pool(512), held_out = [] {
        MemoryPool other = quadrant_pool(1024);
        other.inputs.erase(other.inputs.begin(), other.inputs.begin() + 512 * 8);
        other.targets.erase(other.targets.begin(), other.targets.begin() + 512);
        other.ids.resize(512);
        other.info.rows = 512;
        return other;
    }();
    auto model = make_model(spec_for_pool("mlp", pool.info), 1);
    TrainOptions options;
    options.epochs = 10;
    options.batch_size = 32;
    const auto source = all_examples(pool), validation = all_examples(held_out);
    const auto collective = make_local_collective();
    Trainer trainer(*model, *source, validation.get(), options, *collective);
    CHECK(trainer.run() == TrainEnd::finished);
    CHECK(trainer.curves().evaluations.at("validation_accuracy").back() > 0.95);
    CHECK(trainer.curves().evaluations.at("train_loss").size() == 10);
    CHECK(trainer.curves().steps.at("loss").size() == 160);
    CHECK_FALSE(model->is_training());
}

TEST_CASE("training stops early and keeps the parameters of the best epoch") {
    // The held-out targets contradict the others, so the first epoch is the best.
    const MemoryPool pool = quadrant_pool(128);
    MemoryPool contrary = pool;
    for (auto& target : contrary.targets) target = 3 - target;
    auto model = make_model(spec_for_pool("mlp", pool.info), 1);
    TrainOptions options;
    options.epochs = 20;
    options.batch_size = 32;
    options.patience = 3;
    options.schedule = ScheduleKind::constant;
    const auto source = all_examples(pool), validation = all_examples(contrary);
    const auto collective = make_local_collective();
    Trainer trainer(*model, *source, validation.get(), options, *collective);
    CHECK(trainer.run() == TrainEnd::early_stop);
    const auto& losses = trainer.curves().evaluations.at("validation_loss");
    REQUIRE(losses.size() == 4);
    CHECK(evaluate(*model, *validation, *collective).mean_loss == losses.front());
    CHECK(trainer.run() == TrainEnd::early_stop);
}

TEST_CASE("a TorchScript model is trained") {
    const MemoryPool pool = quadrant_pool(256);
    torch::jit::Module module("Linear");
    const c10::NoGradGuard no_grad;
    const auto built_in = make_model(spec_for_pool("mlp", pool.info), 1);
    const auto tensors = built_in->parameters();
    const char* names[] = {"w1", "b1", "w2", "b2", "w3", "b3"};
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        module.register_parameter(
            names[i], tensors[i].tensor.detach().clone().set_requires_grad(true), false);
    }
    module.register_attribute("training", c10::BoolType::get(), true);
    module.register_buffer("calls", built_in->parameters().back().tensor.detach().to(at::kLong));
    module.define(R"(
def forward(self, x):
    if self.training:
        self.calls.add_(1)
    h = torch.relu(torch.linear(x, self.w1, self.b1))
    h = torch.relu(torch.linear(h, self.w2, self.b2))
    return {"logits": torch.linear(h, self.w3, self.b3), "embedding": h}
)");
    const std::string path = (std::filesystem::temp_directory_path() /
                              ("thresher_" + std::to_string(::getpid()) + ".pt"))
                                 .string();
    module.save(path);
    auto model = load_model(path, pool.info);
    std::filesystem::remove(path);

    TrainOptions options;
    options.epochs = 5;
    options.batch_size = 32;
    options.reproducible = true;
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    Trainer trainer(*model, *source, nullptr, options, *collective);
    trainer.run();
    CHECK(trainer.curves().evaluations.at("train_accuracy").back() > 0.9);
    // The same network, built in, takes the same way.
    Trainer twin(*built_in, *source, nullptr, options, *collective);
    twin.run();
    CHECK(twin.curves().steps == trainer.curves().steps);
    CHECK(model->buffers().front().tensor[0].item<std::int64_t>() == 40);
}

TEST_CASE("counters of a TorchScript model count the updates, whatever rank had rows") {
    // 15 rows: the last batch has 3, so that most of its 8 shards, and rank 0 of 4, have none.
    const MemoryPool pool =
        vector_pool(std::vector<float>(15 * 4, 0.5F), 4, std::vector<std::int64_t>(15, 1), 3);
    const auto make = [&] {
        torch::jit::Module module("Counting");
        module.register_attribute("training", c10::BoolType::get(), true);
        module.register_parameter("weight", at::ones({3, 4}).set_requires_grad(true), false);
        module.register_buffer("seen", at::zeros({1}, at::kLong));
        module.define(R"(
def forward(self, x):
    if self.training:
        self.seen.add_(1)
    return torch.matmul(x, self.weight.t())
)");
        ModelSpec spec;
        spec.name = kTorchScript;
        spec.input_shape = {4};
        return wrap_torchscript(module, spec, "cpu", "user.pt");
    };
    TrainOptions options;
    options.epochs = 1;
    options.batch_size = 6;
    options.reproducible = true;
    const Result one = train_over(1, make, pool, options);
    std::int64_t seen = 0;
    std::memcpy(&seen, one.bytes.at("seen").data(), sizeof(seen));
    CHECK(seen == 3);
    for (const int ranks : {2, 3, 4}) CHECK(train_over(ranks, make, pool, options) == one);
}

TEST_CASE("a step is as long with unlabelled rows among the batch as without them") {
    MemoryPool few = quadrant_pool(8), many = quadrant_pool(24);
    for (std::size_t i = 8; i < 24; ++i) many.targets[i] = -1;
    TrainOptions options;
    options.updates = 1;
    options.batch_size = 24;
    const Result of_many = train_over(2, "mlp", many, options);
    options.batch_size = 8;
    const Result of_few = train_over(1, "mlp", few, options);
    REQUIRE(of_many.bytes.size() == of_few.bytes.size());
    for (const auto& [name, bytes] : of_few.bytes) {
        std::vector<float> expected(bytes.size() / sizeof(float)), found(expected.size());
        std::memcpy(expected.data(), bytes.data(), bytes.size());
        std::memcpy(found.data(), of_many.bytes.at(name).data(), bytes.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            CHECK(found[i] == Approx(expected[i]).margin(1e-6));
        }
    }
}

TEST_CASE("rows without a target are counted and teach nothing") {
    MemoryPool pool = quadrant_pool(64);
    pool.targets[5] = -1;
    pool.targets[6] = 4;
    auto model = make_model(spec_for_pool("mlp", pool.info), 1);
    TrainOptions options;
    options.epochs = 2;
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    Trainer trainer(*model, *source, nullptr, options, *collective);
    trainer.run();
    CHECK(trainer.rows_without_target() == 4);
}

TEST_CASE("training that cannot go well is refused or ends with an error") {
    MemoryPool pool = quadrant_pool(64);
    auto model = make_model(spec_for_pool("mlp", pool.info), 1);
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    const auto start = [&](const TrainOptions& options) {
        Trainer trainer(*model, *source, nullptr, options, *collective);
        trainer.run();
    };
    TrainOptions options;
    options.patience = 2;
    CHECK_THROWS_WITH(start(options),
                      thresher::test::contains("patience 2 needs a validation pool"));
    options.patience = 0;
    options.learning_rate = 1e30;
    CHECK_THROWS_WITH(start(options), thresher::test::contains("has a loss of") &&
                                          thresher::test::contains("e+29"));
    pool.info.has_targets = false;
    CHECK_THROWS_WITH(start(TrainOptions{}), thresher::test::contains("toy.h5 has no targets"));
    pool.info.has_targets = true;

    auto fresh = make_model(spec_for_pool("mlp", pool.info), 1);
    Trainer trainer(*fresh, *source, nullptr, TrainOptions{}, *collective);
    TrainState state = trainer.export_state();
    state["moments"].resize(8);
    CHECK_THROWS_AS(trainer.import_state(state), FileError);
    state.erase("moments");
    CHECK_THROWS_WITH(trainer.import_state(state), thresher::test::contains("'moments'"));
}
