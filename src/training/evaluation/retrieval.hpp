#pragma once

// How well a model of images and captions finds one by the other. All numbers have the same bits
// for any number of ranks: counts are integers, sums go by block in a fixed tree.

#include <array>
#include <cstdint>

#include "src/base/collective.hpp"
#include "src/models/model.hpp"
#include "src/pool/example_source.hpp"
#include "src/training/train_options.hpp"

namespace thresher {

/// The k of recall@k.
inline constexpr std::array<std::int64_t, 3> kRecallAt{1, 5, 10};

struct Retrieval {
    std::int64_t pairs = 0;            ///< rows with a caption; the only ones that count below
    std::int64_t images = 0;           ///< different ones among them, by image id
    std::int64_t without_caption = 0;  ///< rows whose caption is empty
    /// Share of images of which one of their captions is among the k nearest of all captions, and
    /// share of captions whose image is among the k nearest of all images. Ties go to the earlier
    /// row.
    std::array<double, kRecallAt.size()> image_to_text{}, text_to_image{};
    double alignment = 0.0;  ///< mean of image . caption
    /// Softmax: mean of the losses in both directions, in nats: of an image's caption among it and
    /// all captions of other images, and of a caption's image among all images. Sigmoid: the
    /// training loss with all pairs in one batch, so it grows with their number.
    double mean_loss = 0.0;

    /// Mean of both directions; `index` into kRecallAt.
    double recall(std::size_t index) const {
        return 0.5 * (image_to_text[index] + text_to_image[index]);
    }
};

/// Streams the blocks that the ranks own. Every rank then holds all embeddings, 8 d bytes a row,
/// and compares those of its own rows with them, a few at a time. The model is not changed. Throws
/// UsageError unless it reads captions, Error where there are none. Collective.
Retrieval evaluate_retrieval(const Model& model, BlockSource& source, Collective& collective,
                             ContrastiveKind loss = ContrastiveKind::softmax);

}  // namespace thresher
