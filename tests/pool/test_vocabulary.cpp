#include "src/pool/vocabulary.hpp"

#include <sentencepiece_trainer.h>

#include <algorithm>

#include "src/base/check.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

const std::vector<std::string> kCaptions{"a red square", "a blue square", "a red circle",
                                         "a blue circle and a green square"};

std::vector<std::int32_t> encoded(const std::string& model, const std::string& text,
                                  std::int64_t length) {
    return encode_texts(model, std::vector{text}, length);
}

/// A model as SentencePiece makes it where nothing is asked for.
std::string foreign_model() {
    struct Captions final : sentencepiece::SentenceIterator {
        bool done() const override { return at >= kCaptions.size(); }
        void Next() override { ++at; }
        const std::string& value() const override { return kCaptions[at]; }
        sentencepiece::util::Status status() const override { return {}; }
        std::size_t at = 0;
    } captions;
    std::string model;
    const auto status = sentencepiece::SentencePieceTrainer::Train(
        {{"vocab_size", "30"}, {"hard_vocab_limit", "false"}, {"minloglevel", "3"}}, &captions,
        &model);
    REQUIRE(status.ok());
    return model;
}

}  // namespace

TEST_CASE("a vocabulary of one letter has padding, the unknown, the letter and the blank") {
    const Vocabulary vocabulary(train_vocabulary(std::vector<std::string>{"x"}, 2000));
    CHECK(vocabulary.size() == 4);
    std::vector<std::int32_t> tokens(4, -1);
    CHECK(vocabulary.encode("x", tokens) == 2);  // a text begins with a blank
    CHECK(std::min(tokens[0], tokens[1]) == 2);
    CHECK(std::max(tokens[0], tokens[1]) == 3);
    CHECK(tokens[2] == 0);
    CHECK(tokens[3] == 0);
    CHECK(vocabulary.encode("q", tokens) == 2);
    CHECK(tokens[1] == 1);
}

TEST_CASE("a text is cut or padded, and its full length told") {
    const std::string model = train_vocabulary(kCaptions, 40);
    const Vocabulary vocabulary(model);
    std::vector<std::int32_t> all(64);
    const std::int64_t length = vocabulary.encode(kCaptions[3], all);
    REQUIRE(length > 4);
    REQUIRE(length < 64);
    CHECK(std::all_of(all.begin(), all.begin() + length,
                      [&](std::int32_t token) { return token > 0 && token < vocabulary.size(); }));
    CHECK(std::all_of(all.begin() + length, all.end(),
                      [](std::int32_t token) { return token == 0; }));
    std::vector<std::int32_t> cut(4);
    CHECK(vocabulary.encode(kCaptions[3], cut) == length);
    CHECK(std::equal(cut.begin(), cut.end(), all.begin()));
    std::vector<std::int32_t> both = encoded(model, kCaptions[0], 64);
    both.insert(both.end(), all.begin(), all.end());
    CHECK(encode_texts(model, std::vector{kCaptions[0], kCaptions[3]}, 64) == both);
    CHECK(vocabulary.encode("", cut) == 0);
    CHECK(cut == std::vector<std::int32_t>(4, 0));
}

TEST_CASE("case, width and repeated blanks make no other tokens") {
    const std::string model = train_vocabulary(kCaptions, 40);
    const auto expected = encoded(model, "a red square", 16);
    CHECK(encoded(model, "A Red  SQUARE ", 16) == expected);
    CHECK(encoded(model, "a \xEF\xBD\x92\xEF\xBD\x85\xEF\xBD\x84 square", 16) == expected);
}

TEST_CASE("a vocabulary depends on the captions and its size alone") {
    CHECK(train_vocabulary(kCaptions, 40) == train_vocabulary(kCaptions, 40));
    CHECK(Vocabulary(train_vocabulary(kCaptions, 25)).size() <= 25);
}

TEST_CASE("padding is token 0 under a model that has it elsewhere, or none") {
    const std::string model = foreign_model();
    sentencepiece::SentencePieceProcessor processor;
    REQUIRE(processor.LoadFromSerializedProto(model).ok());
    REQUIRE(processor.pad_id() == -1);
    CHECK(Vocabulary(model).size() == processor.GetPieceSize() + 1);
    const std::vector<int> pieces = processor.EncodeAsIds("a red square");
    const auto tokens = encoded(model, "a red square", std::ssize(pieces));
    for (std::size_t i = 0; i < pieces.size(); ++i) CHECK(tokens[i] == pieces[i] + 1);
}

TEST_CASE("what is no vocabulary, and what cannot become one, is said") {
    CHECK_THROWS_AS(Vocabulary("not a model"), FileError);
    CHECK_THROWS_AS(Vocabulary(""), FileError);
    CHECK_THROWS_AS(train_vocabulary(kCaptions, 5), UsageError);
}
