#include "src/training/loss/contrastive.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "src/random/philox.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

at::Tensor random_matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
    const KeyedRandom random(seed, Stream::synthetic, 0);
    std::vector<double> values;
    for (std::int64_t i = 0; i < rows * columns; ++i) values.push_back(random.normal(i));
    return at::tensor(values, at::kDouble).view({rows, columns});
}

/// Seven pairs in double; rows 1 and 4 show the same image, row 5 has no caption.
Pairs seven_pairs() {
    return {random_matrix(7, 3, 1), random_matrix(7, 3, 2),
            at::tensor(std::vector<std::int64_t>{10, 11, 12, 13, 11, 15, 16}, at::kLong),
            at::tensor(std::vector<std::int64_t>{1, 1, 1, 1, 1, 0, 1}, at::kLong).ne(0)};
}

/// Gradients of all rows, from shards of the given rows.
PairGradients in_shards(const Pairs& pairs, const std::vector<RowRange>& shards, bool softmax,
                        double scale, double bias) {
    std::vector<at::Tensor> image_sums, caption_sums, images, captions;
    for (const RowRange& rows : shards) {
        const PairProducts products = multiply_pairs(pairs, rows);
        image_sums.push_back(log_sums(products.of_images, products.excluded, scale));
        caption_sums.push_back(log_sums(products.of_captions, products.excluded, scale));
    }
    PairGradients total;
    for (const RowRange& rows : shards) {
        const PairProducts products = multiply_pairs(pairs, rows);
        const PairGradients part = softmax ? softmax_gradients(pairs, products, at::cat(image_sums),
                                                               at::cat(caption_sums), scale)
                                           : sigmoid_gradients(pairs, products, scale, bias);
        images.push_back(part.images);
        captions.push_back(part.captions);
        total.loss += part.loss;
        total.scale += part.scale;
        total.bias += part.bias;
    }
    total.images = at::cat(images);
    total.captions = at::cat(captions);
    return total;
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
    return a.sub(b).abs().max().item<double>();
}

}  // namespace

TEST_CASE("two pairs have the losses worked out by hand") {
    // x_i . y_i = 1, x_i . y_j = 0.
    const Pairs pairs{at::eye(2, at::kDouble), at::eye(2, at::kDouble),
                      at::tensor(std::vector<std::int64_t>{0, 1}, at::kLong),
                      at::tensor(std::vector<std::int64_t>{1, 1}, at::kLong).ne(0)};
    const double scale = 3.0, bias = -1.0;
    CHECK(in_shards(pairs, {{0, 2}}, true, scale, bias).loss ==
          Approx(2.0 * std::log(1.0 + std::exp(-scale))));
    CHECK(in_shards(pairs, {{0, 2}}, false, scale, bias).loss ==
          Approx(2.0 * std::log(1.0 + std::exp(-scale - bias)) +
                 2.0 * std::log(1.0 + std::exp(bias))));
}

TEST_CASE("the gradients of a batch are those of automatic differentiation, in any shards") {
    const double scale = 1.7, bias = -0.4;
    for (const bool softmax : {true, false}) {
        INFO((softmax ? "softmax" : "sigmoid"));
        const Pairs pairs = seven_pairs();
        // The rows that are usable, by themselves: rows 1 and 4 are no negatives of each other.
        const at::Tensor kept = at::tensor(std::vector<std::int64_t>{0, 1, 2, 3, 4, 6}, at::kLong);
        const at::Tensor x = pairs.images.clone().requires_grad_(true);
        const at::Tensor y = pairs.captions.clone().requires_grad_(true);
        const at::Tensor s = at::scalar_tensor(scale, at::kDouble).requires_grad_(true);
        const at::Tensor b = at::scalar_tensor(bias, at::kDouble).requires_grad_(true);
        const at::Tensor logits =
            x.index_select(0, kept).matmul(y.index_select(0, kept).t()).mul(s);
        at::Tensor same = at::zeros({6, 6}, at::kBool);
        same[1][4] = true;
        same[4][1] = true;
        at::Tensor loss;
        if (softmax) {
            const at::Tensor masked = logits.masked_fill(same, -INFINITY);
            loss = at::log_softmax(masked, 1)
                       .diag()
                       .sum()
                       .add(at::log_softmax(masked, 0).diag().sum())
                       .mul(-0.5);
        } else {
            const at::Tensor sign = at::eye(6, at::kDouble).mul(2.0).sub(1.0);
            loss = at::log_sigmoid(logits.add(b).mul(sign)).masked_fill(same, 0.0).sum().neg();
        }
        loss.backward();
        for (const auto& shards :
             std::vector<std::vector<RowRange>>{{{0, 7}}, {{0, 2}, {2, 5}, {5, 6}, {6, 7}}}) {
            const PairGradients found = in_shards(pairs, shards, softmax, scale, bias);
            CHECK(found.loss == Approx(loss.item<double>()));
            CHECK(largest_difference(found.images, x.grad()) < 1e-12);
            CHECK(largest_difference(found.captions, y.grad()) < 1e-12);
            CHECK(found.scale == Approx(s.grad().item<double>()));
            CHECK(found.bias == Approx(softmax ? 0.0 : b.grad().item<double>()).margin(1e-12));
        }
    }
}

TEST_CASE("an image is found where no caption of another image is above its own") {
    const Pairs pairs{
        at::eye(4, at::kDouble),
        at::tensor(std::vector<double>{1, 0, 0, 0, 2, 2, 0, 0, 0, 3, 1, 0, 0, 0, 0, 1}, at::kDouble)
            .view({4, 4}),
        at::tensor(std::vector<std::int64_t>{0, 1, 1, 3}, at::kLong),
        at::tensor(std::vector<std::int64_t>{1, 1, 1, 0}, at::kLong).ne(0)};
    // Image 0 is nearer to caption 1. Image 1 is nearer to caption 2, which is of the same image.
    // Image 2 has its own. Image 3 has no caption.
    CHECK(images_found(multiply_pairs(pairs, {0, 4})) == 2);
    CHECK(images_found(multiply_pairs(pairs, {0, 1})) == 0);
}
