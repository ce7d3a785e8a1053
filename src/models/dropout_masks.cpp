#include "src/models/dropout_masks.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <cmath>

#include "src/base/check.hpp"
#include "src/models/mask_fill.hpp"
#include "src/pool/blocks.hpp"
#include "src/random/philox.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kWords = 4;  ///< of a Philox block
constexpr std::int64_t kLow = 0xFFFFFFFF;

/// A word below the threshold drops its element. At probability 1 all words are.
std::int64_t threshold(double probability) { return std::llround(std::ldexp(probability, 32)); }

float scale(double probability) {
    return probability < 1.0 ? static_cast<float>(1.0 / (1.0 - probability)) : 0.0F;
}

std::array<std::uint32_t, 2> layer_key(const MaskKeys& keys, std::int64_t sample, int layer) {
    const KeyedRandom random(keys.seed, Stream::monte_carlo, keys.round);
    const std::uint64_t bits = random.bits(sample, static_cast<std::uint16_t>(layer));
    return {static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)};
}

std::int64_t mask_rows(const MaskKeys& keys) {
    return keys.consistent ? 1 : static_cast<std::int64_t>(keys.ids.size());
}

/// The factors [samples, rows, elements] of one layer, on the CPU.
at::Tensor masks_of(const MaskKeys& keys, RowRange samples, int layer, std::int64_t elements,
                    double probability) {
    const std::int64_t rows = mask_rows(keys), least_kept = threshold(probability);
    const float kept = scale(probability);
    at::Tensor masks = at::empty({samples.size(), rows, elements}, at::kFloat);
    const std::span<float> all(masks.mutable_data_ptr<float>(),
                               static_cast<std::size_t>(masks.numel()));
    const auto width = static_cast<std::size_t>(elements);
    std::vector<std::array<std::uint32_t, 2>> layer_keys;
    for (std::int64_t sample = samples.begin; sample < samples.end; ++sample) {
        layer_keys.push_back(layer_key(keys, sample, layer));
    }
    const std::int64_t grain =
        std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, elements));
    at::parallel_for(0, samples.size() * rows, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            const auto row = static_cast<std::size_t>(i % rows);
            const auto id = static_cast<std::uint64_t>(keys.consistent ? 0 : keys.ids[row]);
            fill_mask({keys.consistent ? 1U : 0U, static_cast<std::uint32_t>(id),
                       static_cast<std::uint32_t>(id >> 32)},
                      layer_keys[static_cast<std::size_t>(i / rows)],
                      static_cast<std::uint64_t>(least_kept), kept,
                      all.subspan(static_cast<std::size_t>(i) * width, width));
        }
    });
    return masks;
}

/// High and low half of the 64-bit product of 32-bit words held in int64; wraps as unsigned does.
struct Product {
    at::Tensor high, low;
};
Product multiply(const at::Tensor& words, std::int64_t factor) {
    const at::Tensor product = words.mul(at::Scalar(factor));
    return {product.bitwise_right_shift(at::Scalar(32)).bitwise_and_(at::Scalar(kLow)),
            product.bitwise_and(at::Scalar(kLow))};
}

}  // namespace

at::Tensor dropout_mask(const MaskKeys& keys, std::int64_t sample, int layer, std::int64_t elements,
                        double probability, const c10::Device& device) {
    if (!device.is_cpu()) {
        return dropout_mask_by_tensors(keys, sample, layer, elements, probability, device);
    }
    return masks_of(keys, {sample, sample + 1}, layer, elements, probability)[0];
}

at::Tensor dropout_masks(const MaskKeys& keys, std::int64_t samples, int layer,
                         std::int64_t elements, double probability) {
    return masks_of(keys, {0, samples}, layer, elements, probability);
}

at::Tensor dropout_mask_by_tensors(const MaskKeys& keys, std::int64_t sample, int layer,
                                   std::int64_t elements, double probability,
                                   const c10::Device& device) {
    // Philox4x32-10: ten rounds of two multiplications; the key grows by a constant each round.
    constexpr std::int64_t kFactor0 = 0xD2511F53, kFactor1 = 0xCD9E8D57;
    constexpr std::uint32_t kStep0 = 0x9E3779B9, kStep1 = 0xBB67AE85;
    const auto options = at::TensorOptions(at::kLong).device(device);
    const std::int64_t rows = mask_rows(keys), blocks = (elements + kWords - 1) / kWords;
    const std::vector<std::int64_t> ids = keys.consistent
                                              ? std::vector<std::int64_t>{0}
                                              : std::vector(keys.ids.begin(), keys.ids.end());
    const at::Tensor id = at::tensor(ids).to(device).view({rows, 1});
    at::Tensor c0 = at::arange(blocks, options).expand({rows, blocks});
    at::Tensor c1 = at::full({1, 1}, keys.consistent ? 1 : 0, options);
    at::Tensor c2 = id.bitwise_and(at::Scalar(kLow));
    at::Tensor c3 = id.bitwise_right_shift(at::Scalar(32)).bitwise_and_(at::Scalar(kLow));
    std::array<std::uint32_t, 2> key = layer_key(keys, sample, layer);
    for (int round = 0; round < 10; ++round) {
        const Product first = multiply(c0, kFactor0), second = multiply(c2, kFactor1);
        c0 = second.high.bitwise_xor(c1).bitwise_xor_(at::Scalar(std::int64_t{key[0]}));
        c2 = first.high.bitwise_xor(c3).bitwise_xor_(at::Scalar(std::int64_t{key[1]}));
        c1 = second.low;
        c3 = first.low;
        key[0] += kStep0;
        key[1] += kStep1;
    }
    const auto whole = [&](const at::Tensor& word) { return word.expand({rows, blocks}); };
    const at::Tensor words = at::stack({whole(c0), whole(c1), whole(c2), whole(c3)}, 2);
    return words.view({rows, blocks * kWords})
        .narrow(1, 0, elements)
        .ge(at::Scalar(threshold(probability)))
        .to(at::kFloat)
        .mul_(at::Scalar(scale(probability)));
}

at::Tensor DropoutMasks::drop(const at::Tensor& x, double probability) {
    return drop(x, probability, x.sizes().vec());
}

at::Tensor DropoutMasks::drop_channels(const at::Tensor& x, double probability) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
    for (std::size_t i = 0; i < shape.size() && i < 2; ++i) shape[i] = x.sizes()[i];
    return drop(x, probability, std::move(shape));
}

at::Tensor DropoutMasks::drop(const at::Tensor& x, double probability,
                              std::vector<std::int64_t> mask_shape) {
    const auto rows = static_cast<std::int64_t>(keys_.ids.size());
    THRESHER_CHECK(x.dim() > 0 && rows > 0 && x.size(0) % rows == 0,
                   "dropout was given a tensor of shape [{}] for {} examples; its first dimension "
                   "must be that of the examples, so put them first in the model",
                   fmt::join(x.sizes(), ", "), rows);
    std::int64_t elements = 1;
    for (const std::int64_t extent : mask_shape) elements *= extent;
    elements /= rows;
    const at::Tensor mask =
        dropout_mask(keys_, sample_, layers_++, elements, probability, x.device());
    return x.mul(mask.expand({rows, elements}).reshape(mask_shape));
}

}  // namespace thresher
