#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "src/base/check.hpp"
#include "src/models/flops.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/token_reader.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pair_pool.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

ModelSpec image_text_spec(const std::string& tower) {
    PoolInfo pool;
    pool.input_shape = {3, 32, 32};
    pool.token_length = 5;
    pool.vocabulary = 11;
    ModelSpec spec = spec_for_pool("two-tower", pool);
    spec.towers->image = tower;
    spec.towers->text_width = 64;
    spec.towers->embedding = 24;
    return spec;
}

at::Tensor tokens(std::vector<std::int32_t> values) {
    const auto rows = std::ssize(values) / 5;
    return at::tensor(values, at::kInt).view({rows, 5});
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
    return a.sub(b).abs().max().item<double>();
}

at::Tensor parameter(const Model& model, const std::string& name) {
    for (const NamedTensor& entry : model.parameters()) {
        if (entry.name == name) return entry.tensor;
    }
    fail("no parameter {}", name);
}

}  // namespace

TEST_CASE("a two-tower has the parameters and the operations of its towers") {
    const MemoryPool pool = pair_pool(4);
    const auto model = make_model(pair_spec(pool.info), 1);
    // Image: 12 x 16 and 16 x 16 with biases. Text: 14 x 32 tokens, 6 x 32 positions; norms, and
    // matrices 32 x 96, 32 x 32, 32 x 128, 128 x 32 with biases; norm; 32 x 16. Scale and bias.
    const std::int64_t image = 12 * 16 + 16 + 16 * 16 + 16;
    const std::int64_t layer = 2 * 64 + 32 * 96 + 96 + 32 * 32 + 32 + 2 * 32 * 128 + 128 + 32;
    CHECK(parameter_count(*model) == image + 14 * 32 + 6 * 32 + layer + 64 + 32 * 16 + 16 + 2);
    // Attention of 6 tokens: q k^T and the sum over v, 6 x 6 x 32 each.
    const double text = 6.0 * (32 * 96 + 32 * 32 + 2 * 32 * 128) + 2.0 * 6 * 6 * 32 + 32 * 16;
    CHECK(forward_flops_of_an_example(model->spec()) == 2.0 * (12 * 16 + 16 * 16 + text));
}

TEST_CASE("embeddings of images and captions have length 1") {
    const c10::NoGradGuard no_grad;
    for (const char* tower : {"cnn", "resnet18", "vit-tiny"}) {
        INFO(tower);
        auto model = make_model(image_text_spec(tower), 1);
        const ModelOutputs images = model->forward(at::full({2, 3, 32, 32}, 0.5));
        CHECK_FALSE(images.logits.defined());
        CHECK(images.embedding.sizes() == at::IntArrayRef({2, 24}));
        CHECK(model->embedding_size() == 24);
        const at::Tensor texts = model->embed_text(tokens({1, 2, 3, 0, 0, 4, 0, 0, 0, 0}));
        CHECK(texts.sizes() == at::IntArrayRef({2, 24}));
        for (const at::Tensor& embedding : {images.embedding, texts}) {
            CHECK(largest_difference(embedding.square().sum(1), at::full({2}, 1.0)) < 1e-5);
        }
    }
}

TEST_CASE("padding and the other captions of a batch do not show in an embedding") {
    const c10::NoGradGuard no_grad;
    auto model = make_model(image_text_spec("cnn"), 1);
    const at::Tensor alone = model->embed_text(tokens({1, 2, 3, 0, 0}));
    const at::Tensor beside = model->embed_text(tokens({9, 9, 9, 9, 9, 1, 2, 3, 0, 0}));
    CHECK(largest_difference(beside.narrow(0, 1, 1), alone) < 1e-6);
    parameter(*model, "text.token_embed")[0].fill_(7.0);
    parameter(*model, "text.pos_embed").narrow(1, 3, 2).fill_(-5.0);
    CHECK(largest_difference(model->embed_text(tokens({1, 2, 3, 0, 0})), alone) < 1e-6);
    CHECK(largest_difference(model->embed_text(tokens({1, 2, 3, 4, 0})), alone) > 1e-3);
    CHECK(largest_difference(model->embed_text(tokens({2, 1, 3, 0, 0})), alone) > 1e-6);
    CHECK(model->embed_text(tokens({0, 0, 0, 0, 0})).isfinite().all().item<bool>());
}

TEST_CASE("the scale starts at 1 / 0.07 and never goes above 100") {
    auto model = make_model(image_text_spec("cnn"), 1);
    CHECK(model->pair_scale().scale.item<double>() == Approx(1.0 / 0.07));
    CHECK(model->pair_scale().bias.item<double>() == -10.0);
    {
        const c10::NoGradGuard no_grad;
        parameter(*model, "log_scale").fill_(6.0);
    }
    CHECK(model->pair_scale().scale.item<double>() == Approx(100.0));
    CHECK(parameter(*model, "log_scale").item<double>() == 6.0);
    model->set_training(true);
    CHECK(model->pair_scale().scale.item<double>() == Approx(100.0));
    CHECK(parameter(*model, "log_scale").item<double>() == Approx(std::log(100.0)));
}

TEST_CASE("a two-tower survives its file, its clone and its scoring form") {
    const c10::NoGradGuard no_grad;
    ModelSpec spec = image_text_spec("resnet18");
    CHECK((model_spec_from_json(to_json(spec)) == spec));
    spec.towers->text_model = std::string("\0not read here\xff", 16);
    auto model = make_model(spec, 5);
    for (const NamedTensor& buffer : model->buffers()) buffer.tensor.mul_(1.5).add_(0.03);
    CHECK(bytes_of(*model->clone()) == bytes_of(*model));
    const auto file = std::filesystem::temp_directory_path() / "thresher-two-tower.pt";
    std::ofstream(file, std::ios::binary) << model->archive();
    PoolInfo pool;
    pool.input_shape = {3, 32, 32};
    pool.token_length = 5;
    pool.vocabulary = 11;
    const auto loaded = load_model(file.string(), pool);
    std::filesystem::remove(file);
    CHECK(bytes_of(*loaded) == bytes_of(*model));
    CHECK((loaded->spec() == model->spec()));

    auto scoring = model->scoring_form();
    const at::Tensor images =
        at::arange(2 * 3 * 32 * 32).remainder(7).view({2, 3, 32, 32}).div(7.0);
    const at::Tensor captions = tokens({1, 2, 3, 0, 0, 4, 5, 0, 0, 0});
    CHECK(largest_difference(scoring->forward(images).embedding, model->forward(images).embedding) <
          1e-5);
    CHECK(largest_difference(scoring->embed_text(captions), model->embed_text(captions)) < 1e-6);
    CHECK(scoring->pair_scale().scale.item<double>() == model->pair_scale().scale.item<double>());
}

TEST_CASE("what a two-tower cannot read or be is refused") {
    const MemoryPool pairs = pair_pool(4), classes = quadrant_pool(4);
    CHECK_THROWS_WITH(spec_for_pool("two-tower", classes.info), contains("no captions"));
    CHECK_THROWS_AS(
        make_model(spec_for_pool("mlp", classes.info), 1)->embed_text(tokens({1, 0, 0, 0, 0})),
        UsageError);
    CHECK_THROWS_WITH(make_model(spec_for_pool("mlp", classes.info), 1)->pair_scale(),
                      contains("mlp reads no captions"));
    ModelSpec spec = pair_spec(pairs.info);
    spec.towers->image = "two-tower";
    CHECK_THROWS_WITH(make_model(spec, 1), contains("cannot be one itself"));
    spec = pair_spec(pairs.info);
    spec.towers->text_width = 50;
    CHECK_THROWS_WITH(make_model(spec, 1), contains("multiples of 32"));

    spec = pair_spec(pairs.info);
    CHECK_NOTHROW(check_fits(spec, pairs.info, "m.pt"));
    PoolInfo other = pairs.info;
    other.token_length = 8;
    CHECK_THROWS_WITH(check_fits(spec, other, "m.pt"),
                      contains("captions of 6 tokens") && contains("have 8"));
    other = pairs.info;
    other.vocabulary = 15;
    CHECK_THROWS_WITH(check_fits(spec, other, "m.pt"), contains("14 tokens") && contains("15"));
    other = pairs.info;
    other.token_length = other.vocabulary = 0;  // images alone
    CHECK_NOTHROW(check_fits(spec, other, "m.pt"));
    const std::vector<std::int32_t> beyond{1, 2, 14, 0, 0, 0}, below{1, -1, 0, 0, 0, 0};
    CHECK_THROWS_WITH(read_tokens(beyond, *spec.towers, "cpu"),
                      contains("token 14") && contains("ends at 13"));
    CHECK_THROWS_WITH(read_tokens(below, *spec.towers, "cpu"), contains("token -1"));
}
