#include <cmath>
#include <limits>

#include "io/hdf5/file.hpp"
#include "io/predictions/predictions_file.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/same_bits.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

void write_outputs(const std::string& path, const std::string& name,
                   std::vector<std::int64_t> shape, const std::vector<float>& values) {
    hdf5::File file = hdf5::File::create(path);
    const RowRange rows{0, shape[0]};
    file.create_dataset({.name = name, .type = hdf5::Type::float32, .shape = std::move(shape)})
        .write_rows(rows, hdf5::Type::float32, std::as_bytes(std::span(values)));
    file.close();
}

}  // namespace

TEST_CASE("predictions read back block by block, on any number of ranks") {
    const TemporaryDirectory directory;
    const auto alone = make_local_collective();
    constexpr std::int64_t kRows = 10;
    PredictionsInfo info;
    info.path = directory / "predictions.h5";
    info.rows = kRows;
    info.output_kind = OutputKind::log_probs;
    info.samples = 2;
    info.classes = 3;
    info.embedding_size = 2;
    info.loss_roles = {"learner", "reference"};
    info.has_ids = true;
    info.strategy = "monte-carlo";
    std::vector<float> outputs, embeddings, learner, reference;
    std::vector<std::int64_t> ids;
    for (std::int64_t row = 0; row < kRows; ++row) {
        for (int j = 0; j < 6; ++j) outputs.push_back(-0.1F * static_cast<float>(row * 6 + j));
        for (int j = 0; j < 2; ++j) embeddings.push_back(static_cast<float>(row * 2 + j));
        learner.push_back(static_cast<float>(row));
        reference.push_back(static_cast<float>(-row));
        ids.push_back(100 + row);
    }
    {
        PredictionsWriter writer(info, {}, Overwrite::no, *alone, {});
        for (RowRange rows : {RowRange{6, 10}, RowRange{0, 6}}) {
            const auto part = [&](const auto& values, std::int64_t width) {
                return std::span(values).subspan(static_cast<std::size_t>(rows.begin * width),
                                                 static_cast<std::size_t>(rows.size() * width));
            };
            PredictionBlock block{rows, part(ids, 1), part(outputs, 6), part(embeddings, 2), {}};
            block.losses = {{"learner", part(learner, 1)}, {"reference", part(reference, 1)}};
            writer.write(block);
        }
        writer.finish({{103, "loss is NaN"}});
    }
    const PredictionsInfo found = describe_predictions(info.path);
    CHECK(found.samples == 2);
    CHECK(found.classes == 3);
    CHECK(found.strategy == "monte-carlo");
    CHECK(found.loss_roles == info.loss_roles);
    for (int ranks : {1, 3}) {
        std::int64_t at = 0;
        for (int rank = 0; rank < ranks; ++rank) {
            const auto reader = open_predictions(info.path, rank, ranks, 4);
            PredictionBlock block;
            while (reader->next(block)) {
                CHECK(block.rows.begin == at);
                for (std::int64_t row = at; row < block.rows.end; ++row) {
                    const auto i = static_cast<std::size_t>(row - at),
                               r = static_cast<std::size_t>(row);
                    CHECK(block.ids[i] == 100 + row);
                    CHECK(block.outputs[i * 6 + 5] == outputs[r * 6 + 5]);
                    CHECK(block.embeddings[i * 2 + 1] == embeddings[r * 2 + 1]);
                    CHECK(block.losses.at("reference")[i] == reference[r]);
                }
                at = block.rows.end;
            }
            // What the writer set apart, on the rank that has the row.
            const RowRange own = reader->owned_rows();
            if (own.begin <= 3 && 3 < own.end) {
                REQUIRE(reader->quarantine().size() == 1);
                CHECK(reader->quarantine()[0].id == 103);
                CHECK(reader->quarantine()[0].reason == "loss is NaN");
            } else {
                CHECK(reader->quarantine().empty());
            }
        }
        CHECK(at == kRows);
    }
}

TEST_CASE("probabilities of another framework are taken, and bad rows set apart once") {
    const TemporaryDirectory directory;
    write_outputs(directory / "p.h5", "/probabilities", {4, 2},
                  {0.5F, 0.5F, 0.9F, 0.2F, 1.1F, -0.1F, 1.0F, 0.0F});
    const auto reader = open_predictions(directory / "p.h5", 0, 1, 4);
    CHECK(reader->info().output_kind == OutputKind::probabilities);
    CHECK(reader->info().samples == 1);
    PredictionBlock block;
    for (int pass = 0; pass < 2; ++pass) {
        CHECK(reader->next(block));
        CHECK(block.outputs.size() == 8);
        reader->rewind();
    }
    REQUIRE(reader->quarantine().size() == 2);
    CHECK(reader->quarantine()[0].id == 1);
    CHECK(reader->quarantine()[0].reason == "probabilities sum to 1.1, not to 1");
    CHECK(reader->quarantine()[1].id == 2);
    CHECK(contains(reader->quarantine()[1].reason, "is negative"));
}

TEST_CASE("a log-probability of -inf is legal, NaN and +inf are not") {
    const TemporaryDirectory directory;
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    write_outputs(directory / "p.h5", "/log_probs", {4, 1, 2},
                  {0.0F, -kInfinity, std::nanf(""), 0.0F, -kInfinity, -kInfinity, 0.5F, -1.0F});
    const auto reader = open_predictions(directory / "p.h5", 0, 1, 4);
    PredictionBlock block;
    CHECK(reader->next(block));
    REQUIRE(reader->quarantine().size() == 3);
    CHECK(reader->quarantine()[0].id == 1);
    CHECK(reader->quarantine()[2].reason == "log-probability 0.5 is above 0");
}

TEST_CASE("predictions of the wrong shape are refused with every reason") {
    const TemporaryDirectory directory;
    {
        hdf5::File file = hdf5::File::create(directory / "p.h5");
        file.create_dataset({.name = "/logits", .type = hdf5::Type::float32, .shape = {3, 2}});
        file.create_dataset({.name = "/embeddings", .type = hdf5::Type::float32, .shape = {4, 2}});
        file.create_dataset({.name = "/losses/learner", .type = hdf5::Type::int64, .shape = {3}});
        file.close();
    }
    const std::string message = message_of([&] { describe_predictions(directory / "p.h5"); });
    CHECK(contains(message, "/embeddings has 4 rows, /logits has 3"));
    CHECK(contains(message, "/losses/learner is i64 of shape [3], expected f32 [N]"));
    write_outputs(directory / "x.h5", "/x", {1}, {1.0F});
    CHECK(
        contains(message_of([&] { describe_predictions(directory / "x.h5"); }), "the file has x"));
}

namespace {

/// Two boxes a row at most, of two classes and the background.
PredictionsInfo describe_boxes(const std::string& path, std::int64_t rows, bool more) {
    PredictionsInfo info;
    info.path = path;
    info.rows = rows;
    info.boxes = {2, 3, more, more};
    return info;
}

void write_boxes(const PredictionsInfo& info, const std::vector<float>& log_probs,
                 const std::vector<float>& scores, const std::vector<float>& flips,
                 const std::vector<float>& discrepancies) {
    const auto alone = make_local_collective();
    PredictionsWriter writer(info, {}, Overwrite::no, *alone, {});
    PredictionBlock block{{0, info.rows}, {}, {}, {}, {}, {}};
    block.found = {info.boxes, log_probs, scores, flips, discrepancies};
    writer.write(block);
    writer.finish();
}

}  // namespace

TEST_CASE("boxes read back bit by bit, those that are not there as well, on any number of ranks") {
    const TemporaryDirectory directory;
    constexpr std::int64_t kRows = 9;
    const float nan = std::nanf("");
    std::vector<float> log_probs, scores, flips, discrepancies;
    for (int row = 0; row < kRows; ++row) {
        for (int box = 0; box < 2; ++box) {
            const bool there = box < row % 3;
            scores.push_back(there ? 1.0F / static_cast<float>(row + box + 1) : nan);
            flips.push_back(there ? 0.1F * static_cast<float>(row) : nan);
            discrepancies.push_back(there ? 1.0F - 0.1F * static_cast<float>(row) : nan);
            for (int c = 0; c < 3; ++c)
                log_probs.push_back(there ? -0.1F * static_cast<float>(row + c) : nan);
        }
    }
    for (const bool more : {false, true}) {
        const auto info = describe_boxes(directory / (more ? "more.h5" : "boxes.h5"), kRows, more);
        const std::vector<float> none;
        write_boxes(info, log_probs, scores, more ? flips : none, more ? discrepancies : none);
        const PredictionsInfo found = describe_predictions(info.path);
        CHECK(found.rows == kRows);
        CHECK(found.output_kind == OutputKind::none);
        CHECK(found.boxes.most == 2);
        CHECK(found.boxes.classes == 3);
        CHECK(found.boxes.flips == more);
        CHECK(found.boxes.discrepancies == more);
        CHECK(found.bytes_per_row() == 4 * (more ? 12 : 8));
        for (const int ranks : {1, 3}) {
            std::vector<float> all_log_probs, all_scores, all_flips, all_discrepancies;
            const auto append = [](auto& to, const auto& from) {
                to.insert(to.end(), from.begin(), from.end());
            };
            for (int rank = 0; rank < ranks; ++rank) {
                const auto reader = open_predictions(info.path, rank, ranks, 2);
                PredictionBlock block;
                while (reader->next(block)) {
                    append(all_log_probs, block.found.log_probs);
                    append(all_scores, block.found.scores);
                    append(all_flips, block.found.flips);
                    append(all_discrepancies, block.found.discrepancies);
                }
                CHECK(reader->quarantine().empty());
            }
            CHECK(same_bits(all_log_probs, log_probs));
            CHECK(same_bits(all_scores, scores));
            CHECK(same_bits(all_flips, more ? flips : none));
            CHECK(same_bits(all_discrepancies, more ? discrepancies : none));
        }
    }
}

TEST_CASE("images with boxes that cannot be used are set apart") {
    const TemporaryDirectory directory;
    const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
    const auto info = describe_boxes(directory / "boxes.h5", 7, true);
    write_boxes(info, {0,   -inf, -inf, nan, nan, nan,  // as it should be
                       0,   0,    0,    0,   0,   0,    // a box behind none
                       nan, 0,    0,    nan, nan, nan,  // no distribution
                       0,   0,    0,    0,   0,   0,    // a score above 1
                       0,   0,    0,    0,   0,   0,    // no flip
                       1,   0,    0,    nan, nan, nan,  // a log-probability above 0
                       0,   0,    0,    0,   0,   0},   // a discrepancy below 0
                {0.5F, nan, nan, 0.5F, 0.5F, nan, 0.5F, 1.5F, 0.5F, 0.4F, 0.5F, nan, 0.5F, 0.4F},
                {1.0F, nan, nan, 0.5F, 0.5F, nan, 0.5F, 0.5F, 0.5F, nan, 0.0F, nan, 0.5F, 0.5F},
                {0.5F, nan, nan, 0.5F, 0.5F, nan, 0.5F, 0.5F, 0.5F, 1.0F, 0.0F, nan, 0.5F, -0.5F});
    const auto reader = open_predictions(info.path, 0, 1, 7);
    PredictionBlock block;
    CHECK(reader->next(block));
    const auto& bad = reader->quarantine();
    REQUIRE(bad.size() == 6);
    CHECK(bad[0].id == 1);
    CHECK(bad[0].reason == "box 1 follows one that is not there");
    CHECK(bad[1].reason == "the outputs hold a NaN");
    CHECK(bad[2].reason == "the score of box 1 is 1.5, not 0 to 1");
    CHECK(bad[3].reason == "the flip of box 1 is nan, not 0 to 1");
    CHECK(bad[4].reason == "log-probability 1 is above 0");
    CHECK(bad[5].reason == "the discrepancy of box 1 is -0.5, not 0 to 1");
}

TEST_CASE("boxes of shapes that do not fit each other are refused") {
    const TemporaryDirectory directory;
    const auto make = [&](const char* name,
                          std::vector<std::pair<const char*, std::vector<std::int64_t>>> datasets) {
        hdf5::File file = hdf5::File::create(directory / name);
        for (auto& [dataset, shape] : datasets)
            file.create_dataset({.name = dataset, .type = hdf5::Type::float32, .shape = shape});
        file.close();
        return message_of([&] { describe_predictions(directory / name); });
    };
    CHECK(contains(make("most.h5", {{"/box_scores", {4, 2}}, {"/box_log_probs", {4, 3, 5}}}),
                   "/box_log_probs is f32 of shape [4, 3, 5], expected f32 [N, M, K], M as "
                   "/box_scores has it"));
    CHECK(contains(make("rows.h5", {{"/box_scores", {4, 2}}, {"/box_log_probs", {3, 2, 5}}}),
                   "/box_log_probs has 3 rows, /box_scores has 4"));
    CHECK(contains(make("alone.h5", {{"/box_scores", {4, 2}}}), "/box_log_probs is missing"));
    CHECK(contains(make("flips.h5", {{"/box_flips", {4, 2}}}), "/box_scores is missing"));
    CHECK(contains(make("class.h5", {{"/box_scores", {4, 2}}, {"/box_log_probs", {4, 2, 1}}}),
                   "a class and the background at least"));
}
