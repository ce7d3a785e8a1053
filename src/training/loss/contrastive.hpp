#pragma once

// The loss of a batch of pairs, image and caption: each image is to find its caption among all, and
// each caption its image. Losses and gradients in closed form, for some rows at a time, so that
// ranks and shards share a batch out and no B x B matrix is needed whole.

#include <ATen/core/Tensor.h>

#include "src/pool/blocks.hpp"

namespace thresher {

/// A batch; row i of the images and of the captions belong together. Rows with the same image id do
/// not tell each other apart: they are no negatives of one another.
struct Pairs {
    at::Tensor images, captions;  ///< [B, d], of length 1
    at::Tensor image_ids;         ///< int64 [B]
    at::Tensor usable;            ///< bool [B]; other rows take part in nothing
};

/// The products of some rows of a batch with all of it.
struct PairProducts {
    RowRange rows;
    at::Tensor of_images;    ///< [n, B]: x_i . y_j of these images i and all captions j
    at::Tensor of_captions;  ///< [n, B]: y_i . x_j of these captions i and all images j
    at::Tensor matched;      ///< bool [n, B]: whether i is j
    at::Tensor excluded;     ///< bool [n, B]: of the same image, or not usable
};

PairProducts multiply_pairs(const Pairs& pairs, RowRange rows);

/// log sum_j exp(scale products[i, j]) [n] over what is not excluded.
at::Tensor log_sums(const at::Tensor& products, const at::Tensor& excluded, double scale);

/// Sums over some rows: of the loss, of its gradient with respect to their own embeddings, and of
/// their part in the gradients of scale and bias, which add up over the rows of a batch.
struct PairGradients {
    at::Tensor images, captions;  ///< [n, d]
    double loss = 0.0, scale = 0.0, bias = 0.0;
};

/// Softmax (CLIP, Radford et al. 2021): the mean over both directions of the cross-entropy,
/// sum_i (log_sum_i - s x_i . y_i) / 2 + (the same with x and y exchanged). The log-sums [B] are of
/// all rows: of the images' products, and of the captions'.
PairGradients softmax_gradients(const Pairs& pairs, const PairProducts& products,
                                const at::Tensor& image_sums, const at::Tensor& caption_sums,
                                double scale);

/// Sigmoid (SigLIP, Zhai et al., arXiv 2303.15343): - sum_ij log sigmoid(z_ij (s x_i . y_j + b)),
/// z = 1 where i is j, -1 elsewhere.
PairGradients sigmoid_gradients(const Pairs& pairs, const PairProducts& products, double scale,
                                double bias);

/// How many of these images have no caption above their own.
std::int64_t images_found(const PairProducts& products);

}  // namespace thresher
