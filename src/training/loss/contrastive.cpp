#include "src/training/loss/contrastive.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/logsumexp.h>

#include <limits>

namespace thresher {
namespace {

constexpr double kLowest = -std::numeric_limits<double>::infinity();

at::Tensor part(const at::Tensor& all, RowRange rows) {
    return all.narrow(0, rows.begin, rows.size());
}

/// Gradients of embeddings and scale from those of the logits [n, B], by images and by captions.
void apply(const Pairs& pairs, const PairProducts& products, const at::Tensor& by_image,
           const at::Tensor& by_caption, double scale, PairGradients& gradients) {
    gradients.images = by_image.matmul(pairs.captions).mul_(scale);
    gradients.captions = by_caption.matmul(pairs.images).mul_(scale);
    // Each pair of the batch is in the row of one image: counted there, it is counted once.
    gradients.scale = by_image.mul(products.of_images).sum(at::kDouble).item<double>();
    gradients.bias = by_image.sum(at::kDouble).item<double>();
}

}  // namespace

PairProducts multiply_pairs(const Pairs& pairs, RowRange rows) {
    const at::Tensor all = at::arange(pairs.images.size(0), pairs.image_ids.options());
    const at::Tensor matched = part(all, rows).unsqueeze(1).eq(all);
    const at::Tensor same = part(pairs.image_ids, rows).unsqueeze(1).eq(pairs.image_ids);
    const at::Tensor usable = part(pairs.usable, rows).unsqueeze(1).logical_and(pairs.usable);
    return {rows, part(pairs.images, rows).matmul(pairs.captions.t()),
            part(pairs.captions, rows).matmul(pairs.images.t()), matched,
            same.logical_and(matched.logical_not()).logical_or_(usable.logical_not())};
}

at::Tensor log_sums(const at::Tensor& products, const at::Tensor& excluded, double scale) {
    return products.mul(scale).masked_fill_(excluded, kLowest).logsumexp(1);
}

PairGradients softmax_gradients(const Pairs& pairs, const PairProducts& products,
                                const at::Tensor& image_sums, const at::Tensor& caption_sums,
                                double scale) {
    const at::Tensor matched = products.matched.logical_and(products.excluded.logical_not());
    PairGradients gradients;
    const auto of_logits = [&](const at::Tensor& product, const at::Tensor& own,
                               const at::Tensor& other) {
        const at::Tensor logits = product.mul(scale);
        const at::Tensor own_sums = part(own, products.rows).unsqueeze(1);
        gradients.loss +=
            0.5 * own_sums.sub(logits).masked_select(matched).sum(at::kDouble).item<double>();
        return logits.sub(own_sums)
            .exp_()
            .add_(logits.sub(other).exp_())
            .sub_(matched.to(logits.scalar_type()), 2.0)
            .masked_fill_(products.excluded, 0.0)
            .mul_(0.5);
    };
    const at::Tensor by_image = of_logits(products.of_images, image_sums, caption_sums);
    const at::Tensor by_caption = of_logits(products.of_captions, caption_sums, image_sums);
    apply(pairs, products, by_image, by_caption, scale, gradients);
    gradients.bias = 0.0;
    return gradients;
}

PairGradients sigmoid_gradients(const Pairs& pairs, const PairProducts& products, double scale,
                                double bias) {
    const at::Tensor sign = products.matched.to(products.of_images.scalar_type()).mul(2).sub(1);
    const auto signed_logits = [&](const at::Tensor& product) {
        return product.mul(scale).add_(bias).mul_(sign);
    };
    // d(-log sigmoid(z t)) / dt = -z sigmoid(-z t)
    const auto of_logits = [&](const at::Tensor& logits) {
        return logits.neg().sigmoid_().mul_(sign).neg_().masked_fill_(products.excluded, 0.0);
    };
    const at::Tensor logits = signed_logits(products.of_images);
    PairGradients gradients;
    gradients.loss = -at::log_sigmoid(logits)
                          .masked_fill_(products.excluded, 0.0)
                          .sum(at::kDouble)
                          .item<double>();
    apply(pairs, products, of_logits(logits), of_logits(signed_logits(products.of_captions)), scale,
          gradients);
    return gradients;
}

std::int64_t images_found(const PairProducts& products) {
    const at::Tensor own = products.of_images.masked_select(products.matched).unsqueeze(1);
    const at::Tensor above =
        products.of_images.gt(own)
            .logical_and_(products.excluded.logical_not())
            .any(1)
            .logical_or_(products.excluded.logical_and(products.matched).any(1));
    return above.logical_not().sum().item<std::int64_t>();
}

}  // namespace thresher
