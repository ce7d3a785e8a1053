#pragma once

// Text as tokens: a SentencePiece unigram model, trained on a pool's captions and kept in the pool,
// so that any text can be written in the tokens its models know. Token 0 is padding. Text is
// normalised (NFKC) and its case folded first.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thresher {

class Vocabulary {
  public:
    /// `model` as train_vocabulary or SentencePiece made it; it must not be a file's name. Where
    /// its padding is not piece 0, as in the models of others, tokens are pieces + 1. Throws
    /// FileError where it is no such model.
    explicit Vocabulary(std::string_view model);
    ~Vocabulary();
    Vocabulary(Vocabulary&&) noexcept;
    Vocabulary& operator=(Vocabulary&&) noexcept;

    std::int64_t size() const;  ///< tokens are below it

    /// Writes `text` into `tokens` [L], cut or padded. Returns the tokens that all of it needs.
    /// Thread-safe.
    std::int64_t encode(std::string_view text, std::span<std::int32_t> tokens) const;

  private:
    struct Model;
    std::unique_ptr<Model> model_;
};

/// A model of at most `size` pieces, fewer where the captions are too few for them. The same for
/// the same captions; of more than a million every n-th is read. Throws UsageError where `size` is
/// too small for the captions' characters.
std::string train_vocabulary(std::span<const std::string> captions, std::int64_t size);

/// `texts` as tokens [texts, length], cut or padded. Throws as Vocabulary does.
std::vector<std::int32_t> encode_texts(std::string_view model, std::span<const std::string> texts,
                                       std::int64_t length);

}  // namespace thresher
