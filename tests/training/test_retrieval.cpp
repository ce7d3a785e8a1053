#include "src/training/evaluation/retrieval.hpp"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

#include "src/base/check.hpp"
#include "src/base/thread_collective.hpp"
#include "src/models/input_reader.hpp"
#include "src/models/token_reader.hpp"
#include "src/pool/example_blocks.hpp"
#include "src/training/evaluation/evaluate.hpp"
#include "src/training/trainer.hpp"
#include "tests/models/model_bytes.hpp"
#include "tests/strategy/predict_all.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pair_pool.hpp"

using namespace thresher;
using thresher::test::contains;

namespace {

Retrieval alone(const Model& model, const MemoryPool& pool,
                ContrastiveKind loss = ContrastiveKind::softmax) {
    const auto collective = make_local_collective();
    return evaluate_retrieval(model, *stream_blocks(pool, 0, 1), *collective, loss);
}

/// [rows][rows]: products of images and captions, from embeddings of all at once.
std::vector<std::vector<double>> products_of(Model& model, const MemoryPool& pool) {
    const c10::NoGradGuard no_grad;
    const at::Tensor images =
        model
            .forward(InputReader(model.spec(), pool.info.element_type, pool.info.scale, "cpu")
                         .read(pool.inputs))
            .embedding;
    const at::Tensor texts =
        model.embed_text(read_tokens(pool.tokens, *model.spec().towers, "cpu"));
    const at::Tensor all = images.matmul(texts.t());
    std::vector<std::vector<double>> products;
    for (std::int64_t i = 0; i < all.size(0); ++i) {
        products.emplace_back();
        for (std::int64_t j = 0; j < all.size(1); ++j)
            products.back().push_back(all[i][j].item<double>());
    }
    return products;
}

}  // namespace

TEST_CASE("recall, alignment and loss are those found by sorting everything") {
    const MemoryPool pool = pair_pool(15, 3, 0.2);
    const auto model = make_model(pair_spec(pool.info), 5);
    const auto products = products_of(*model, pool);
    const double scale = model->pair_scale().scale.item<double>();
    const std::size_t rows = products.size();
    const auto image = [](std::size_t row) { return row / 3; };
    std::array<double, 3> image_to_text{}, text_to_image{};
    double alignment = 0.0, loss = 0.0;
    std::vector<std::size_t> order(rows);
    for (std::size_t i = 0; i < rows; ++i) {
        alignment += products[i][i] / static_cast<double>(rows);
        // Captions for this image, and images, by their first rows, for this caption.
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::sort(order.begin(), order.end(),
                  [&](auto a, auto b) { return products[i][a] > products[i][b]; });
        std::vector<std::size_t> pictures(15);
        for (std::size_t p = 0; p < 15; ++p) pictures[p] = 3 * p;
        std::sort(pictures.begin(), pictures.end(),
                  [&](auto a, auto b) { return products[a][i] > products[b][i]; });
        const auto first_of = [&](const std::vector<std::size_t>& found) {
            return std::find_if(found.begin(), found.end(),
                                [&](auto j) { return image(j) == image(i); }) -
                   found.begin();
        };
        for (std::size_t k = 0; k < 3; ++k) {
            if (i % 3 == 0 && first_of(order) < kRecallAt[k]) image_to_text[k] += 1.0 / 15.0;
            if (first_of(pictures) < kRecallAt[k])
                text_to_image[k] += 1.0 / static_cast<double>(rows);
        }
        double texts = std::exp(scale * products[i][i]), images = 0.0;
        for (std::size_t j = 0; j < rows; ++j) {
            if (image(j) != image(i)) texts += std::exp(scale * products[i][j]);
            if (j % 3 == 0) images += std::exp(scale * products[j][i]);
        }
        loss += 0.5 * (std::log(texts) + std::log(images) - 2.0 * scale * products[i][i]);
    }
    const Retrieval result = alone(*model, pool);
    CHECK(result.pairs == 45);
    CHECK(result.images == 15);
    CHECK(result.without_caption == 0);
    CHECK(result.alignment == Approx(alignment));
    CHECK(result.mean_loss == Approx(loss / static_cast<double>(rows)));
    for (std::size_t k = 0; k < 3; ++k) {
        CHECK(result.image_to_text[k] == Approx(image_to_text[k]));
        CHECK(result.text_to_image[k] == Approx(text_to_image[k]));
        CHECK(result.recall(k) == Approx(0.5 * (image_to_text[k] + text_to_image[k])));
    }
}

TEST_CASE("the sigmoid loss is that of one batch of all pairs, in training as in validation") {
    MemoryPool pool = pair_pool(15, 3, 0.2);
    std::fill_n(pool.tokens.begin() + 6 * 7, 6, 0);  // row 7 has no caption
    const auto model = make_model(pair_spec(pool.info), 5);
    const auto products = products_of(*model, pool);
    const PairScale now = model->pair_scale();
    const auto scale = now.scale.item<double>(), bias = now.bias.item<double>();
    double loss = 0.0;
    for (std::size_t i = 0; i < products.size(); ++i) {
        for (std::size_t j = 0; j < products.size(); ++j) {
            if (i == 7 || j == 7 || (i != j && i / 3 == j / 3)) continue;
            const double logit = scale * products[i][j] + bias;
            loss += std::log1p(std::exp(i == j ? -logit : logit)) / 44.0;
        }
    }
    const Retrieval found = alone(*model, pool, ContrastiveKind::sigmoid);
    CHECK(found.mean_loss == Approx(loss));
    CHECK(found.image_to_text == alone(*model, pool).image_to_text);

    const auto source = all_examples(pool), held_out = all_examples(pool);
    const auto collective = make_local_collective();
    TrainOptions options;
    options.contrastive = ContrastiveKind::sigmoid;
    options.updates = 1;
    options.learning_rate = 1e-12;  // the model stays as it is
    Trainer trainer(*model, *source, held_out.get(), options, *collective);
    trainer.run();
    CHECK(trainer.curves().steps.at("loss")[0] == Approx(loss));
    CHECK(trainer.curves().evaluations.at("validation_loss")[0] == Approx(loss));
}

TEST_CASE(
    "a model to which all is alike finds what chance finds, and one without numbers nothing") {
    const MemoryPool pool = pair_pool(20, 2);
    const auto model = make_model(pair_spec(pool.info), 5);
    const c10::NoGradGuard no_grad;
    for (const NamedTensor& entry : model->parameters()) {
        if (entry.name.find("scale") == std::string::npos) entry.tensor.zero_();
        if (entry.name == "image.fc2.bias" || entry.name == "text.head.bias")
            entry.tensor.fill_(1.0);
    }
    const Retrieval result = alone(*model, pool);
    // The earlier row comes first: of 20 images, 1 has a caption among the first, 3 among the first
    // 5, and 5 among the first 10.
    CHECK(result.image_to_text == std::array<double, 3>{1.0 / 20, 3.0 / 20, 5.0 / 20});
    CHECK(result.text_to_image == std::array<double, 3>{1.0 / 20, 5.0 / 20, 10.0 / 20});
    CHECK(result.alignment == Approx(1.0));
    CHECK(result.mean_loss == Approx(0.5 * (std::log(39.0) + std::log(20.0))));
    for (const NamedTensor& entry : model->parameters()) entry.tensor.fill_(NAN);
    const Retrieval lost = alone(*model, pool);
    CHECK(lost.image_to_text == std::array<double, 3>{});
    CHECK(lost.text_to_image == std::array<double, 3>{});
}

TEST_CASE("a retrieval has the same bits for 1, 2, 3 and 4 ranks") {
    MemoryPool pool = pair_pool(600, 2);
    std::fill_n(pool.tokens.begin() + 6 * 17, 6 * 20, 0);
    const auto model = make_model(pair_spec(pool.info), 5);
    const auto before = bytes_of(*model);
    const Retrieval one = alone(*model, pool);
    CHECK(one.without_caption == 20);
    CHECK(one.pairs == 1180);
    CHECK(one.images ==
          591);  // of rows 17 to 36 the last image keeps a caption, and the first one too
    CHECK(bytes_of(*model) == before);
    const auto collective = make_local_collective();
    const Retrieval examples =
        evaluate_retrieval(*model, *blocks_of_examples(*all_examples(pool), 0, 1), *collective);
    CHECK(examples.image_to_text == one.image_to_text);
    for (const int ranks : {2, 3, 4}) {
        run_simulated_ranks(ranks, [&](Collective& over) {
            const auto own = model->clone();
            const Retrieval result =
                evaluate_retrieval(*own, *stream_blocks(pool, over.rank(), ranks), over);
            if (result.image_to_text != one.image_to_text ||
                result.text_to_image != one.text_to_image || result.mean_loss != one.mean_loss ||
                result.alignment != one.alignment) {
                fail("rank {} of {} found something else", over.rank(), ranks);
            }
        });
    }
}

TEST_CASE("zero-shot accuracy goes by the prompt nearest to the image") {
    MemoryPool pool = pair_pool(30);
    const auto model = make_model(pair_spec(pool.info), 5);
    const std::vector<std::int32_t> prompts{1, 13, 0, 0, 0, 0, 2, 13, 0, 0, 0, 0, 3, 5, 9, 0, 0, 0};
    const c10::NoGradGuard no_grad;
    const at::Tensor images =
        model
            ->forward(
                InputReader(model->spec(), pool.info.element_type, 1.0, "cpu").read(pool.inputs))
            .embedding;
    const at::Tensor names = model->embed_text(read_tokens(prompts, *model->spec().towers, "cpu"));
    const at::Tensor nearest = images.matmul(names.t()).argmax(1);
    pool.targets.clear();
    for (std::int64_t i = 0; i < 30; ++i) {
        pool.targets.push_back(i < 12 ? nearest[i].item<std::int64_t>()
                                      : (nearest[i].item<std::int64_t>() + 1) % 3);
    }
    pool.info.has_targets = true;
    pool.info.classes = 3;
    pool.tokens.clear();
    pool.image_ids.clear();
    pool.info.token_length = pool.info.vocabulary = 0;
    const auto collective = make_local_collective();
    const auto source = stream_blocks(pool, 0, 1);
    const Evaluation result = evaluate_zero_shot(*model, prompts, *source, *collective);
    CHECK(result.rows == 30);
    CHECK(result.correct == 12);
    const auto perceptron = make_model(spec_for_pool("mlp", pool.info), 1);
    CHECK_THROWS_WITH(evaluate_zero_shot(*perceptron, prompts, *source, *collective),
                      contains("mlp reads no captions"));
    CHECK_THROWS_WITH(evaluate_retrieval(*model, *source, *collective),
                      contains("has no captions"));
    CHECK_THROWS_WITH(evaluate_retrieval(*perceptron, *source, *collective),
                      contains("mlp reads no captions"));
    CHECK_THROWS_WITH(evaluate(*model, *source, *collective), contains("needs logits"));
}

TEST_CASE("strategies loss and embedding work on pairs") {
    MemoryPool pool = pair_pool(40);
    std::fill_n(pool.tokens.begin() + 6 * 7, 6, 0);
    const auto learner = make_model(pair_spec(pool.info), 5),
               reference = make_model(pair_spec(pool.info, {8}), 6);
    PredictorOptions options;
    options.strategies = {"loss", "embedding"};
    const Predictions found = test::predict_all({learner.get(), reference.get()}, pool, options);
    const auto products = products_of(*learner, pool), of_reference = products_of(*reference, pool);
    CHECK(found.embedding_size == 16);
    CHECK(found.embeddings.size() == 40 * 16);
    for (std::size_t i = 0; i < 40; ++i) {
        if (i == 7) continue;
        CHECK(found.losses.at("learner")[i] == Approx(-products[i][i]).margin(1e-6));
        CHECK(found.losses.at("reference")[i] == Approx(-of_reference[i][i]).margin(1e-6));
    }
    REQUIRE(found.quarantined.size() == 1);
    CHECK(found.quarantined[0].id == 7);
    CHECK(found.quarantined[0].reason == "no caption");
    const Predictions over_three =
        test::predict_all({learner.get(), reference.get()}, pool, options, 3);
    CHECK(test::same_bits(over_three.losses.at("learner"), found.losses.at("learner")));
    CHECK(test::same_bits(over_three.embeddings, found.embeddings));
    options.strategies = {"deterministic"};
    CHECK_THROWS_WITH(test::predict_all({learner.get()}, pool, options), contains("needs logits"));
    const MemoryPool classes = quadrant_pool(4);
    options.strategies = {"loss"};
    CHECK_THROWS_WITH(test::predict_all({learner.get()}, classes, options),
                      contains("needs captions"));
}
