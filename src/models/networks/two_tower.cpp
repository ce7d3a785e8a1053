// Images and captions in one space (Radford et al., "Learning transferable visual models from
// natural language supervision", 2021): any built-in network embeds the image, a small transformer
// the caption. Both embeddings have length 1, and a learned scale makes logits of their products.

#include <ATen/ops/embedding.h>
#include <ATen/ops/norm.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "src/base/check.hpp"
#include "src/models/detector/detector_spec.hpp"
#include "src/models/networks/network.hpp"
#include "src/models/networks/transformer.hpp"

namespace thresher {
namespace {

constexpr std::int64_t kHeadWidth = 32;
/// The temperature that CLIP starts from, and the scale that it never goes above.
constexpr double kFirstTemperature = 0.07, kLargestScale = 100.0;

at::Tensor to_length_1(const at::Tensor& x) { return x.div(x.norm(2, {1}, true).clamp_min(1e-12)); }

/// The image tower by itself: its logits are the embedding.
ModelSpec image_spec(const ModelSpec& spec) {
    ModelSpec image = spec;
    image.name = spec.towers->image;
    image.classes = spec.towers->embedding;
    image.towers.reset();
    return image;
}

class TextTower {
  public:
    TextTower(const Towers& towers, double dropout, Builder& builder)
        : tokens_(builder.uniform("token_embed", {towers.vocabulary, towers.text_width},
                                  kTransformerBound)),
          positions_(builder.uniform("pos_embed", {1, towers.token_length, towers.text_width},
                                     kTransformerBound)) {
        for (std::int64_t i = 0; i < towers.text_layers; ++i) {
            blocks_.emplace_back(builder, "blocks." + std::to_string(i), towers.text_width,
                                 towers.text_width / kHeadWidth, dropout);
        }
        norm_ = LayerNorm(builder, "norm", towers.text_width);
        project_ = Linear(builder, "head", towers.text_width, towers.embedding);
    }

    /// The mean over the tokens that are no padding, projected. tokens [n, L].
    at::Tensor operator()(const at::Tensor& tokens, Pass& pass) const {
        const at::Tensor real = tokens.ne(0);
        // A caption without a token reads its first place: a softmax over nothing is no number.
        at::Tensor seen = real.clone();
        seen.select(1, 0).fill_(true);
        const at::Tensor mask = seen.unsqueeze(1).unsqueeze(1);
        at::Tensor h = at::embedding(tokens_, tokens).add_(positions_);
        for (const TransformerBlock& block : blocks_) h = block(h, mask, pass);
        const at::Tensor weight = seen.to(at::kFloat);
        const at::Tensor mean = norm_(h).mul(weight.unsqueeze(2)).sum(1).div(weight.sum(1, true));
        return project_(mean, pass);
    }

    void prepare_for_scoring() {
        for (TransformerBlock& block : blocks_) block.prepare_for_scoring();
        project_.prepare_for_scoring();
    }

  private:
    at::Tensor tokens_, positions_;
    std::vector<TransformerBlock> blocks_;
    LayerNorm norm_;
    Linear project_;
};

class TwoTower final : public Network {
  public:
    TwoTower(const ModelSpec& spec, Builder& builder) : size_(spec.towers->embedding) {
        builder.scope = "image.";
        image_ = make_network(image_spec(spec), builder);
        builder.scope = "text.";
        text_.emplace(*spec.towers, spec.dropout, builder);
        builder.scope = "";
        log_scale_ = builder.constant("log_scale", {}, -std::log(kFirstTemperature));
        bias_ = builder.constant("bias", {}, kFirstPairBias);
    }

    at::Tensor prefix(const at::Tensor& x, Pass& pass) const override {
        return image_->prefix(x, pass);
    }

    ModelOutputs rest(const at::Tensor& first, Pass& pass) const override {
        return {at::Tensor(), to_length_1(image_->rest(first, pass).logits)};
    }

    at::Tensor embed_text(const at::Tensor& tokens, Pass& pass) const override {
        return to_length_1((*text_)(tokens, pass));
    }

    PairScale pair_scale(bool training) const override {
        // As in CLIP the parameter itself is kept below, so that it can come down again at once.
        if (training) {
            const c10::NoGradGuard no_grad;
            log_scale_.clamp_max_(std::log(kLargestScale));
        }
        return {log_scale_.clamp_max(std::log(kLargestScale)).exp(), bias_};
    }

    std::int64_t embedding_size() const override { return size_; }

    void prepare_for_scoring() override {
        image_->prepare_for_scoring();
        text_->prepare_for_scoring();
    }

  private:
    std::int64_t size_;
    std::unique_ptr<Network> image_;
    std::optional<TextTower> text_;
    at::Tensor log_scale_, bias_;
};

}  // namespace

std::unique_ptr<Network> make_two_tower(const ModelSpec& spec, Builder& builder) {
    THRESHER_CHECK(spec.towers.has_value(), "{} was asked for without a text tower", spec.name);
    const Towers& towers = *spec.towers;
    THRESHER_CHECK_AS(UsageError, towers.image != spec.name,
                      "the image tower of a {} cannot be one itself; name one of the others",
                      spec.name);
    THRESHER_CHECK_AS(UsageError, !is_detector(towers.image),
                      "the image tower of a {} cannot be a detector, {}; name one of the others",
                      spec.name, towers.image);
    THRESHER_CHECK_AS(UsageError, towers.text_width > 0 && towers.text_width % kHeadWidth == 0,
                      "the text tower is {} wide; allowed: multiples of {}", towers.text_width,
                      kHeadWidth);
    THRESHER_CHECK_AS(UsageError, towers.text_layers >= 0 && towers.embedding > 0,
                      "the text tower has {} layers and embeddings a width of {}; allowed: 0 or "
                      "more, and 1 or more",
                      towers.text_layers, towers.embedding);
    THRESHER_CHECK(towers.token_length > 0 && towers.vocabulary > 0,
                   "captions have {} tokens of a vocabulary of {}; at least 1 each is needed",
                   towers.token_length, towers.vocabulary);
    return std::make_unique<TwoTower>(spec, builder);
}

}  // namespace thresher
