#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>

#include "src/base/check.hpp"
#include "src/models/detector/detector_spec.hpp"
#include "src/models/input_reader.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/toy_pool.hpp"

using namespace thresher;

namespace {

ModelSpec spec_of(const std::string& name, std::vector<std::int64_t> shape, std::int64_t classes) {
    PoolInfo pool;
    pool.input_shape = std::move(shape);
    pool.classes = classes;
    return spec_for_pool(name, pool);
}

at::Tensor read_rows(const Model& model, const MemoryPool& pool) {
    return InputReader(model.spec(), pool.info.element_type, pool.info.scale, "cpu")
        .read(pool.inputs);
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
    return a.sub(b).abs().max().item<double>();
}

/// Gives running statistics values other than the 0 and 1 they start with.
void disturb_statistics(Model& model) {
    const c10::NoGradGuard no_grad;
    for (const NamedTensor& buffer : model.buffers()) {
        buffer.tensor.mul_(1.5).add_(0.03);
    }
}

}  // namespace

TEST_CASE("built-in models have the numbers of parameters their papers' code has") {
    const auto count = [](const std::string& name, std::vector<std::int64_t> shape,
                          std::int64_t classes) {
        return parameter_count(*make_model(spec_of(name, std::move(shape), classes), 1));
    };
    // 784 * 256 + 256, 256 * 256 + 256, 256 * 10 + 10
    CHECK(count("mlp", {1, 28, 28}, 10) == 269322);
    // 32 * 25 + 32, 64 * 32 * 25 + 64, 1024 * 128 + 128, 128 * 10 + 10
    CHECK(count("cnn", {1, 28, 28}, 10) == 184586);
    CHECK(count("resnet18", {3, 32, 32}, 10) == 11173962);
    // torchvision and timm, 224 x 224, 1000 classes
    CHECK(count("resnet18", {3, 224, 224}, 1000) == 11689512);
    CHECK(count("resnet34", {3, 224, 224}, 1000) == 21797672);
    CHECK(count("resnet50", {3, 224, 224}, 1000) == 25557032);
    CHECK(count("vit-tiny", {3, 224, 224}, 1000) == 5717416);
    CHECK(count("vit-small", {3, 224, 224}, 1000) == 22050664);
}

TEST_CASE("floating-point operations are those of the layers that ran") {
    const c10::NoGradGuard no_grad;
    auto cnn = make_model(spec_of("cnn", {1, 28, 28}, 10), 1);
    cnn->forward(at::full({3, 1, 28, 28}, 0.5));
    const double by_hand = 2.0 * (24 * 24 * 32 * 25 + 8 * 8 * 64 * 32 * 25 + 1024 * 128 + 128 * 10);
    CHECK(cnn->forward_flops() == 3 * by_hand);

    // 1 814 073 344 multiply-adds, the number that is quoted for ResNet-18.
    auto resnet = make_model(spec_of("resnet18", {3, 224, 224}, 1000), 1);
    resnet->forward(at::full({1, 3, 224, 224}, 0.5));
    CHECK(resnet->forward_flops() == 2.0 * 1814073344.0);
}

TEST_CASE("logits and embeddings have their shapes for grey and for coloured images") {
    const c10::NoGradGuard no_grad;
    for (const ModelInfo& info : built_in_models()) {
        const std::string name(info.name);
        // These have tests of their own.
        if (name == "two-tower" || is_detector(name)) continue;
        for (const auto& shape : std::vector<std::vector<std::int64_t>>{{1, 28, 28}, {3, 32, 32}}) {
            INFO(name << " with " << shape[0] << " channels");
            auto model = make_model(spec_of(name, shape, 7), 1);
            const ModelOutputs outputs =
                model->forward(at::full({2, shape[0], shape[1], shape[2]}, 0.5));
            CHECK(outputs.logits.sizes() == at::IntArrayRef({2, 7}));
            CHECK(outputs.embedding.dim() == 2);
            CHECK(outputs.embedding.size(0) == 2);
            CHECK(outputs.logits.isfinite().all().item<bool>());
        }
    }
}

TEST_CASE("a seed decides the initial bits, and they follow the customary distribution") {
    const auto spec = spec_of("mlp", {1, 28, 28}, 10);
    CHECK(bytes_of(*make_model(spec, 3)) == bytes_of(*make_model(spec, 3)));
    CHECK(bytes_of(*make_model(spec, 3)) != bytes_of(*make_model(spec, 4)));
    const at::Tensor weight = make_model(spec, 3)->parameters().front().tensor.detach();
    const double bound = 1.0 / 28.0;  // 1 / sqrt(784)
    CHECK(weight.abs().max().item<double>() <= bound);
    CHECK(weight.abs().max().item<double>() > 0.999 * bound);
    CHECK(weight.mean().item<double>() == Approx(0.0).margin(3e-4));
    CHECK(weight.square().mean().item<double>() == Approx(bound * bound / 3.0).epsilon(0.01));
}

TEST_CASE("the scoring form equals the model, and making and using it changes no bit") {
    const c10::NoGradGuard no_grad;
    for (const char* name : {"mlp", "cnn", "resnet18", "resnet50", "vit-tiny"}) {
        INFO(name);
        const MemoryPool pool = byte_pool(4, {3, 32, 32}, 10);
        auto model = make_model(spec_for_pool(name, pool.info), 5);
        disturb_statistics(*model);
        const auto before = bytes_of(*model);
        auto scoring = model->scoring_form();
        const at::Tensor inputs = read_rows(*model, pool);
        const at::Tensor expected = model->forward(inputs).logits;
        const ModelOutputs folded = scoring->forward(inputs);
        const double scale = std::max(1.0, expected.abs().max().item<double>());
        CHECK(largest_difference(folded.logits, expected) <= 1e-5 * scale);
        CHECK(bytes_of(*model) == before);
        CHECK_THROWS_WITH(scoring->set_training(true), thresher::test::contains("scoring form"));
        CHECK_THROWS_WITH(scoring->archive(), thresher::test::contains("cannot be saved"));
    }
}

TEST_CASE("a clone shares nothing with its model") {
    auto model = make_model(spec_of("resnet18", {1, 28, 28}, 10), 5);
    disturb_statistics(*model);
    auto copy = model->clone();
    const auto before = bytes_of(*model);
    CHECK(bytes_of(*copy) == before);
    disturb_statistics(*copy);
    CHECK(bytes_of(*model) == before);
}

TEST_CASE("dropout drops in train mode alone and follows its seed") {
    const c10::NoGradGuard no_grad;
    const MemoryPool pool = byte_pool(4, {1, 28, 28}, 10);
    auto model = make_model(spec_for_pool("cnn", pool.info), 1);
    const at::Tensor inputs = read_rows(*model, pool);
    const at::Tensor eval = model->forward(inputs).logits;
    CHECK(eval.equal(model->forward(inputs).logits));
    model->set_training(true);
    const auto draw = [&](std::uint64_t seed) {
        model->seed_dropout(seed);
        return model->forward(inputs).logits;
    };
    CHECK(draw(1).equal(draw(1)));
    CHECK_FALSE(draw(1).equal(draw(2)));
    CHECK_FALSE(draw(1).equal(eval));
}

TEST_CASE("inputs are normalised by channel and laid out channels-last") {
    ModelSpec spec;
    spec.input_shape = {2, 1, 3};
    spec.scale = 0.5;
    spec.mean = {1.0, 2.0};
    spec.std = {0.5, 4.0};
    const std::vector<std::uint8_t> bytes{0, 2, 4, 100, 200, 255, 1, 3, 5, 7, 9, 11};
    const at::Tensor x = InputReader(spec, ElementType::uint8, spec.scale, "cpu")
                             .read(std::as_bytes(std::span(bytes)));
    REQUIRE(x.sizes() == at::IntArrayRef({2, 2, 1, 3}));
    CHECK(x.is_contiguous(at::MemoryFormat::ChannelsLast));
    for (std::int64_t n = 0; n < 2; ++n) {
        for (std::int64_t c = 0; c < 2; ++c) {
            for (std::int64_t w = 0; w < 3; ++w) {
                const double byte = bytes[static_cast<std::size_t>(6 * n + 3 * c + w)];
                const auto channel = static_cast<std::size_t>(c);
                CHECK(x[n][c][0][w].item<double>() ==
                      Approx((byte * 0.5 - spec.mean[channel]) / spec.std[channel]));
            }
        }
    }
    spec.mean = {1.0, 2.0, 3.0};
    CHECK_THROWS_WITH(
        InputReader(spec, ElementType::uint8, spec.scale, "cpu"),
        thresher::test::contains("3 means") && thresher::test::contains("2 channels"));
}

TEST_CASE("inputs of one or two axes are normalised by their first, in place") {
    const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    for (const std::vector<std::int64_t>& shape :
         {std::vector<std::int64_t>{3}, std::vector<std::int64_t>{3, 2}}) {
        ModelSpec spec;
        spec.input_shape = shape;
        spec.mean = {1.0, 2.0, 3.0};
        spec.std = {0.5, 1.0, 2.0};
        const std::size_t width = shape.size() == 1 ? 3 : 6;
        const at::Tensor x = InputReader(spec, ElementType::float32, 1.0, "cpu")
                                 .read(std::as_bytes(std::span(values)));
        REQUIRE(x.numel() == 12);
        CHECK(x.dim() == static_cast<std::int64_t>(shape.size()) + 1);
        const float* const found = x.const_data_ptr<float>();
        for (std::size_t i = 0; i < values.size(); ++i) {
            const std::size_t c = i % width / (width / 3);
            CHECK(found[i] == Approx((double{values[i]} - spec.mean[c]) / spec.std[c]));
        }
    }
}

TEST_CASE("what does not suit a model is refused with what is allowed") {
    CHECK_THROWS_WITH(
        spec_of("resnet19", {3, 32, 32}, 10),
        thresher::test::contains("resnet19") && thresher::test::contains("mlp, cnn, resnet18"));
    CHECK_THROWS_AS(spec_of("resnet19", {3, 32, 32}, 10), UsageError);
    CHECK_THROWS_WITH(spec_of("mlp", {3}, 0), thresher::test::contains("targets"));
    CHECK_THROWS_WITH(make_model(spec_of("cnn", {784}, 10), 1), thresher::test::contains("[784]"));
    CHECK_THROWS_WITH(make_model(spec_of("cnn", {1, 12, 12}, 10), 1),
                      thresher::test::contains("16 x 16"));
    CHECK_THROWS_WITH(make_model(spec_of("vit-tiny", {1, 30, 30}, 10), 1),
                      thresher::test::contains("multiples of 4"));
    CHECK_THROWS_WITH(choose_device("tpu"), thresher::test::contains("auto, cpu, cuda"));
    CHECK(choose_device("cpu") == "cpu");
}
