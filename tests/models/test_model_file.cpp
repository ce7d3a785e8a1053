#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/api/module.h>

#include <filesystem>
#include <fstream>

#include "src/base/check.hpp"
#include "src/models/torchscript/torchscript.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;

namespace {

/// A directory that is removed at the end of a test.
class Scratch {
  public:
    Scratch()
        : path_(std::filesystem::temp_directory_path() /
                ("thresher_model_file_" + std::to_string(::getpid()))) {
        std::filesystem::create_directories(path_);
    }
    ~Scratch() { std::filesystem::remove_all(path_); }
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }

  private:
    std::filesystem::path path_;
};

/// logits = x w^T + b with w = ones [3, 4] and b = 0, as a user's module would be.
torch::jit::Module linear_module(const std::string& body) {
    torch::jit::Module module("Linear");
    module.register_parameter("weight", at::ones({3, 4}).set_requires_grad(true), false);
    module.register_parameter("bias", at::ones({3}).set_requires_grad(true), false);
    module.define(body);
    return module;
}

const char* kLogits = R"(
def forward(self, x):
    return torch.linear(x, self.weight, self.bias)
)";
const char* kDict = R"(
def forward(self, x):
    return {"logits": torch.linear(x, self.weight, self.bias), "embedding": 2.0 * x}
)";
const char* kWrongDict = R"(
def forward(self, x):
    return {"scores": torch.linear(x, self.weight, self.bias)}
)";

void save(const Model& model, const std::string& path) {
    std::ofstream(path, std::ios::binary) << model.archive();
}

MemoryPool four_values() { return vector_pool({1, 2, 3, 4, 5, 6, 7, 8}, 4, {0, 2}, 3); }

}  // namespace

TEST_CASE("a saved model is read back bit for bit, with its specification") {
    const Scratch scratch;
    const c10::NoGradGuard no_grad;
    MemoryPool pool = byte_pool(2, {1, 28, 28}, 10);
    for (const char* name : {"mlp", "resnet18", "vit-tiny"}) {
        INFO(name);
        auto model = make_model(spec_for_pool(name, pool.info), 9);
        for (const NamedTensor& buffer : model->buffers()) buffer.tensor.add_(0.5);
        const std::string path = scratch / "model.pt";
        save(*model, path);
        auto read = load_model(path, pool.info);
        CHECK(bytes_of(*read) == bytes_of(*model));
        CHECK(read->spec() == model->spec());
        CHECK(read_model_spec(path) == model->spec());
    }
}

TEST_CASE("a loaded model keeps its normalisation and takes the pool's units") {
    const Scratch scratch;
    MemoryPool pool = byte_pool(2, {1, 28, 28}, 10);
    const std::string path = scratch / "model.pt";
    save(*make_model(spec_for_pool("mlp", pool.info), 9), path);
    pool.info.scale = 1.0;
    pool.info.mean = {0.1};
    const auto model = load_model(path, pool.info);
    CHECK(model->spec().scale == 1.0);
    CHECK(model->spec().mean == std::vector<double>{0.5});
}

TEST_CASE("files that are no fitting model are refused by name") {
    const Scratch scratch;
    MemoryPool pool = byte_pool(2, {1, 28, 28}, 10);
    CHECK_THROWS_AS(load_model(scratch / "none.pt", pool.info), FileError);
    CHECK_THROWS_WITH(
        load_model(scratch / "none.pt", pool.info),
        thresher::test::contains("none.pt") && thresher::test::contains("no such model file"));
    std::ofstream(scratch / "text.pt") << "not a model";
    CHECK_THROWS_AS(load_model(scratch / "text.pt", pool.info), FileError);
    CHECK_THROWS_WITH(
        load_model(scratch / "text.pt", pool.info),
        thresher::test::contains("text.pt") && thresher::test::contains("no model file"));

    auto model = make_model(spec_for_pool("mlp", pool.info), 9);
    const std::string path = scratch / "model.pt";
    save(*model, path);
    std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
    CHECK_THROWS_AS(load_model(path, pool.info), FileError);
    save(*model, path);
    pool.info.classes = 12;
    CHECK_THROWS_WITH(load_model(path, pool.info), thresher::test::contains("10 classes") &&
                                                       thresher::test::contains("toy.h5 has 12"));
    pool.info.input_shape = {3, 32, 32};
    CHECK_THROWS_WITH(load_model(path, pool.info), thresher::test::contains("[1, 28, 28]") &&
                                                       thresher::test::contains("[3, 32, 32]"));
}

TEST_CASE("an unnamed pool may show fewer classes than the model tells apart") {
    MemoryPool pool = byte_pool(2, {1, 28, 28}, 10);
    const ModelSpec spec = spec_for_pool("mlp", pool.info);
    pool.info.classes = 7;
    CHECK_NOTHROW(check_fits(spec, pool.info, "model.pt"));
    pool.info.class_names = {"a", "b", "c", "d", "e", "f", "g"};
    CHECK_THROWS_WITH(check_fits(spec, pool.info, "model.pt"),
                      thresher::test::contains("10 classes"));
}

TEST_CASE("a class that is another in the model than in the pool is refused") {
    ModelSpec spec;
    spec.name = "mlp";
    spec.input_shape = {4};
    spec.classes = 3;
    spec.class_names = {"ant", "bee", "cat"};
    CHECK(model_spec_from_json(to_json(spec)) == spec);
    PoolInfo pool;
    pool.path = "pool.h5";
    pool.input_shape = {4};
    pool.classes = 3;
    for (const std::vector<std::string>& names :
         {std::vector<std::string>{}, {"ant", "bee", "cat"}, {"Ameise", "Biene", "Katze"}}) {
        pool.class_names = names;
        CHECK_NOTHROW(check_fits(spec, pool, "model.pt"));
    }
    pool.class_names = {"ant", "cat", "dog"};
    CHECK_THROWS_WITH(check_fits(spec, pool, "model.pt"),
                      thresher::test::contains("class 2 is \"cat\", which is class 1 of pool") &&
                          thresher::test::contains("--class-names ant,bee,cat"));
}

TEST_CASE("a user's TorchScript file gives its logits, and its embedding where it returns one") {
    const Scratch scratch;
    const c10::NoGradGuard no_grad;
    const MemoryPool pool = four_values();
    for (const bool dict : {false, true}) {
        const std::string path = scratch / "user.pt";
        linear_module(dict ? kDict : kLogits).save(path);
        CHECK(read_model_spec(path).name == "torchscript");
        auto model = load_model(path, pool.info);
        CHECK(model->spec().classes == 3);
        CHECK(model->spec().input_shape == std::vector<std::int64_t>{4});
        for (auto* runs : {model.get()}) {
            auto scoring = runs->scoring_form();
            for (Model* form : {runs, scoring.get()}) {
                const ModelOutputs outputs = form->forward(at::ones({2, 4}));
                CHECK(outputs.logits.eq(5.0).all().item<bool>());
                REQUIRE(outputs.embedding.defined() == dict);
                if (dict) CHECK(outputs.embedding.eq(2.0).all().item<bool>());
            }
        }
        CHECK(parameter_count(*model) == 15);
        // 15 parameters, 2 operations each: 2 rows of the probe are not counted, the 2 above are.
        CHECK(model->forward_flops() == 2.0 * 15 * 2);

        model->parameters().front().tensor.mul_(3.0);
        save(*model, path);
        auto again = load_model(path, pool.info);
        CHECK(bytes_of(*again) == bytes_of(*model));
        CHECK(again->spec() == model->spec());
    }
}

TEST_CASE("a TorchScript file that does not fit says what it did and what is expected") {
    const Scratch scratch;
    MemoryPool pool = four_values();
    const std::string path = scratch / "user.pt";
    linear_module(kWrongDict).save(path);
    CHECK_THROWS_WITH(load_model(path, pool.info),
                      thresher::test::contains("\"logits\"") && thresher::test::contains("scores"));
    linear_module(kLogits).save(path);
    pool.info.classes = 5;
    CHECK_THROWS_WITH(load_model(path, pool.info), thresher::test::contains("3 classes"));
    pool.info.input_shape = {6};
    CHECK_THROWS_WITH(load_model(path, pool.info), thresher::test::contains("[2, 6]"));
}
