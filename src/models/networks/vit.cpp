// Vision transformers (Dosovitskiy et al., "An image is worth 16x16 words", 2021) with a class
// token, norms before attention and perceptron, tensors named as in timm.

#include "src/base/check.hpp"
#include "src/models/networks/network.hpp"
#include "src/models/networks/transformer.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kLargestSmallImage = 64;

class VisionTransformer final : public Network {
  public:
    VisionTransformer(const ModelSpec& spec, Builder& builder, std::int64_t width,
                      std::int64_t depth, std::int64_t heads) {
        const ImageShape image = image_shape(spec, 8);
        const bool small = image.height <= kLargestSmallImage && image.width <= kLargestSmallImage;
        const std::int64_t patch = small ? 4 : 16;
        THRESHER_CHECK(image.height % patch == 0 && image.width % patch == 0,
                       "{} cuts images into patches of {} pixels, which do not fill {} x {}; use "
                       "images whose sides are multiples of {}, or a resnet",
                       spec.name, patch, image.height, image.width, patch);
        const std::int64_t tokens = (image.height / patch) * (image.width / patch) + 1;
        class_token_ = builder.uniform("cls_token", {1, 1, width}, kTransformerBound);
        positions_ = builder.uniform("pos_embed", {1, tokens, width}, kTransformerBound);
        patches_ = Conv(builder, "patch_embed.proj", image.channels, width, patch, patch);
        for (std::int64_t i = 0; i < depth; ++i) {
            blocks_.emplace_back(builder, "blocks." + std::to_string(i), width, heads,
                                 spec.dropout);
        }
        norm_ = LayerNorm(builder, "norm", width);
        head_ = Linear(builder, "head", width, spec.classes, kTransformerBound);
    }

    at::Tensor prefix(const at::Tensor& x, Pass& pass) const override {
        const at::Tensor patches = patches_(x, pass).flatten(2).transpose(1, 2);
        return concatenate(class_token_.expand({x.size(0), -1, -1}), patches, 1).add_(positions_);
    }

    ModelOutputs rest(const at::Tensor& first, Pass& pass) const override {
        at::Tensor h = first;
        for (const TransformerBlock& block : blocks_) h = block(h, at::Tensor(), pass);
        h = norm_(h.select(1, 0));
        return {head_(h, pass), h};
    }

    std::int64_t embedding_size() const override { return head_.inputs(); }

    void prepare_for_scoring() override {
        for (TransformerBlock& block : blocks_) block.prepare_for_scoring();
        head_.prepare_for_scoring();
    }

  private:
    at::Tensor class_token_, positions_;
    Conv patches_;
    std::vector<TransformerBlock> blocks_;
    LayerNorm norm_;
    Linear head_;
};

}  // namespace

std::unique_ptr<Network> make_vit_tiny(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<VisionTransformer>(spec, builder, 192, 12, 3);
}

std::unique_ptr<Network> make_vit_small(const ModelSpec& spec, Builder& builder) {
    return std::make_unique<VisionTransformer>(spec, builder, 384, 12, 6);
}

}  // namespace thresher
