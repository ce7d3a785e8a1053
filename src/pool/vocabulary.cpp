#include "src/pool/vocabulary.hpp"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>

#include "src/base/check.hpp"

namespace thresher {

namespace {

constexpr std::size_t kMostTrainingCaptions = 1'000'000;

/// The captions that a vocabulary is trained on, spread evenly over all.
class TrainingCaptions final : public sentencepiece::SentenceIterator {
  public:
    explicit TrainingCaptions(std::span<const std::string> captions)
        : captions_(captions), stride_(1 + (captions.size() - 1) / kMostTrainingCaptions) {}

    bool done() const override { return at_ >= captions_.size(); }
    void Next() override { at_ += stride_; }
    const std::string& value() const override { return captions_[at_]; }
    sentencepiece::util::Status status() const override { return {}; }

  private:
    std::span<const std::string> captions_;
    std::size_t stride_, at_ = 0;
};

}  // namespace

struct Vocabulary::Model {
    sentencepiece::SentencePieceProcessor processor;
    std::int32_t shift = 0;  ///< from pieces to tokens
};

Vocabulary::Vocabulary(std::string_view model) : model_(std::make_unique<Model>()) {
    const auto status = model_->processor.LoadFromSerializedProto(model);
    THRESHER_CHECK_AS(FileError, !model.empty() && status.ok(),
                      "the vocabulary of {} bytes is no SentencePiece model; expected the bytes of "
                      "a .model file",
                      model.size());
    model_->shift = model_->processor.pad_id() == 0 ? 0 : 1;
}

Vocabulary::~Vocabulary() = default;
Vocabulary::Vocabulary(Vocabulary&&) noexcept = default;
Vocabulary& Vocabulary::operator=(Vocabulary&&) noexcept = default;

std::int64_t Vocabulary::size() const {
    return std::int64_t{model_->processor.GetPieceSize()} + model_->shift;
}

std::int64_t Vocabulary::encode(std::string_view text, std::span<std::int32_t> tokens) const {
    std::vector<int> pieces;
    const auto status = model_->processor.Encode(text, &pieces);
    THRESHER_CHECK(status.ok(), "the text \"{}\" cannot be encoded: {}", text, status.ToString());
    const std::size_t kept = std::min(pieces.size(), tokens.size());
    std::transform(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(kept),
                   tokens.begin(), [&](int piece) { return piece + model_->shift; });
    std::fill(tokens.begin() + static_cast<std::ptrdiff_t>(kept), tokens.end(), 0);
    return std::ssize(pieces);
}

std::string train_vocabulary(std::span<const std::string> captions, std::int64_t size) {
    THRESHER_CHECK(!captions.empty(), "a vocabulary cannot be trained on no caption");
    TrainingCaptions sentences(captions);
    std::string model;
    // One thread: the sums of several would depend on how many there are.
    const auto status =
        sentencepiece::SentencePieceTrainer::Train({{"vocab_size", std::to_string(size)},
                                                    {"hard_vocab_limit", "false"},
                                                    {"pad_id", "0"},
                                                    {"unk_id", "1"},
                                                    {"bos_id", "-1"},
                                                    {"eos_id", "-1"},
                                                    {"normalization_rule_name", "nmt_nfkc_cf"},
                                                    {"num_threads", "1"},
                                                    {"minloglevel", "3"}},
                                                   &sentences, &model);
    THRESHER_CHECK_AS(UsageError, status.ok(),
                      "a vocabulary of {} pieces cannot be trained on {} captions; each of their "
                      "characters needs one, so give a larger --vocabulary-size ({})",
                      size, captions.size(), status.ToString());
    return model;
}

std::vector<std::int32_t> encode_texts(std::string_view model, std::span<const std::string> texts,
                                       std::int64_t length) {
    const Vocabulary vocabulary(model);
    const auto row = static_cast<std::size_t>(length);
    std::vector<std::int32_t> tokens(texts.size() * row);
    for (std::size_t i = 0; i < texts.size(); ++i) {
        vocabulary.encode(texts[i], std::span(tokens).subspan(i * row, row));
    }
    return tokens;
}

}  // namespace thresher
