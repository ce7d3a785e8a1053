#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "io/derive/derive.hpp"
#include "io/describe.hpp"
#include "io/importers/importers.hpp"
#include "io/pool/pool_writer.hpp"
#include "src/pool/vocabulary.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

constexpr std::int64_t kRows = 600, kLength = 8;

/// Rows of u8 [1, 2, 3]; rows 3 i to 3 i + 2 show image 100 + i and have captions of their own.
PoolFile captioned_pool(const TemporaryDirectory& directory) {
    std::vector<std::string> captions;
    for (std::int64_t row = 0; row < kRows; ++row) captions.push_back(std::to_string(row));
    PoolSchema schema;
    schema.input_shape = {1, 2, 3};
    schema.text.length = kLength;
    schema.text.vocabulary = train_vocabulary(captions, 60);
    schema.text.caption_bytes = 3;
    schema.text.image_ids = true;
    PoolWriter writer(directory / "source.h5", schema, {});
    std::vector<std::byte> inputs;
    std::vector<std::int64_t> images;
    for (std::int64_t row = 0; row < kRows; ++row) {
        for (std::int64_t j = 0; j < 6; ++j) inputs.push_back(byte_of(row / 3, j));
        images.push_back(100 + row / 3);
    }
    const auto tokens = encode_texts(schema.text.vocabulary, captions, kLength);
    PoolRows rows;
    rows.rows = kRows;
    rows.inputs = inputs;
    rows.tokens = tokens;
    rows.captions = captions;
    rows.image_ids = images;
    writer.append(rows);
    writer.finish();
    return open_pool(directory / "source.h5");
}

/// All text columns of a pool.
struct Text {
    explicit Text(const std::string& path) : pool(open_pool(path)) {
        const RowRange all{0, pool.info().rows};
        const auto rows = static_cast<std::size_t>(all.size());
        for (auto* column : {&image_ids, &caption_of, &source_ids}) column->resize(rows);
        tokens.resize(rows * kLength);
        pool.read_image_ids(all, image_ids);
        pool.read_caption_of(all, caption_of);
        pool.read_source_ids(all, source_ids);
        pool.read_tokens(all, tokens);
        captions = pool.read_captions(all);
    }

    /// Whether tokens, captions, images and truth belong together.
    bool consistent() const {
        bool good = tokens == encode_texts(pool.vocabulary(), captions, kLength);
        for (std::size_t i = 0; i < captions.size(); ++i) {
            good = good && image_ids[i] == 100 + source_ids[i] / 3;
            const std::int64_t written_for = 100 + std::stoll(captions[i]) / 3;
            good = good && (pool.info().has_caption_of ? caption_of[i] == written_for
                                                       : image_ids[i] == written_for);
        }
        return good;
    }

    PoolFile pool;
    std::vector<std::int64_t> image_ids, caption_of, source_ids;
    std::vector<std::int32_t> tokens;
    std::vector<std::string> captions;
};

}  // namespace

TEST_CASE("a share of the rows gets another image's caption, and the truth is kept") {
    const TemporaryDirectory directory;
    const PoolFile pool = captioned_pool(directory);
    DeriveOptions options;
    options.output = directory / "shuffled.h5";
    options.shuffle_captions = 0.5;
    options.seed = GENERATE(1, 2);
    const auto derived = derive_pool(pool, options, {});
    const Text text(options.output);
    REQUIRE(text.pool.info().has_caption_of);
    CHECK(text.consistent());
    std::int64_t others = 0, strangers = 0;
    for (std::size_t i = 0; i < text.captions.size(); ++i) {
        others += text.captions[i] != std::to_string(text.source_ids[i]);
        strangers += text.caption_of[i] != text.image_ids[i];
    }
    CHECK(others == 300);
    CHECK(strangers == 300);
    CHECK(derived[0].changed_captions == 300);
    // 300 draws from 600 captions: distinct ones are near 600 (1 - (1 - 1/600)^300) = 236.
    std::set<std::string> drawn;
    for (std::size_t i = 0; i < text.captions.size(); ++i) {
        if (text.captions[i] != std::to_string(text.source_ids[i])) drawn.insert(text.captions[i]);
    }
    CHECK(std::abs(static_cast<double>(drawn.size()) - 236.0) < 40.0);
    CHECK(contains(describe(options.output),
                   std::to_string(strangers) + " rows have another image's"));

    // What is derived from it keeps the truth, whatever it adds.
    const PoolFile shuffled = open_pool(options.output);
    options.output = directory / "again.h5";
    derive_pool(shuffled, options, {});
    const Text again(options.output);
    for (std::size_t i = 0; i < again.captions.size(); ++i) {
        CHECK(again.caption_of[i] == 100 + std::stoll(again.captions[i]) / 3);
    }
}

TEST_CASE("captions are shuffled between images even where there are but two") {
    const TemporaryDirectory directory;
    const PoolFile pool = captioned_pool(directory);
    DeriveOptions options;
    options.output = directory / "parts";
    options.splits = parse_splits("two=6,rest=rest");
    options.spoil = "two";
    options.shuffle_captions = 1.0;
    const auto derived = derive_pool(pool, options, {});
    const Text text(derived[0].path);
    REQUIRE(text.captions.size() == 6);
    CHECK(text.consistent());
    for (std::size_t i = 0; i < 6; ++i) CHECK(text.caption_of[i] != text.image_ids[i]);
    // Again: of the three captions that were written for a row's image none comes back to it, not
    // even where they belong.
    options.output = directory / "again.h5";
    options.splits.clear();
    options.spoil.clear();
    derive_pool(open_pool(derived[0].path), options, {});
    const Text again(options.output);
    for (std::size_t i = 0; i < 6; ++i) CHECK(again.caption_of[i] != again.image_ids[i]);
}

TEST_CASE("without a shuffle captions go along with their rows") {
    const TemporaryDirectory directory;
    const PoolFile pool = captioned_pool(directory);
    DeriveOptions options;
    options.output = directory / "derived";
    options.rows_per_shard = 70;
    SECTION("repeated with jitter") {
        options.repeat = 3;
        options.jitter = 0.5;
    }
    SECTION("a subset") { options.subset = 100; }
    derive_pool(pool, options, {});
    const Text text(options.output);
    CHECK(text.pool.info().rows == (options.subset > 0 ? 100 : 1800));
    CHECK_FALSE(text.pool.info().has_caption_of);
    CHECK(text.consistent());
    CHECK(text.pool.vocabulary() == pool.vocabulary());
}

TEST_CASE("rows of one image are never split, and only the spoilt split is shuffled") {
    const TemporaryDirectory directory;
    const PoolFile pool = captioned_pool(directory);
    DeriveOptions options;
    options.output = directory / "parts";
    options.splits = parse_splits("clean=100,test=90,web=rest");
    options.spoil = "web";
    options.shuffle_captions = 0.4;
    const auto derived = derive_pool(pool, options, {});
    REQUIRE(derived.size() == 3);
    CHECK(derived[0].rows == 102);  // 34 images of 3 rows
    CHECK(derived[1].rows == 90);
    CHECK(derived[2].rows == 408);
    std::map<std::int64_t, std::set<std::string>> where;
    std::size_t rows = 0;
    for (const DerivedPool& part : derived) {
        const Text text(part.path);
        CHECK(text.consistent());
        CHECK(text.pool.info().has_caption_of == (part.rows == 408));
        rows += text.captions.size();
        for (const std::int64_t image : text.image_ids) where[image].insert(part.path);
        // Captions come from the same part, so none leaks from the test images.
        const std::set<std::int64_t> images(text.image_ids.begin(), text.image_ids.end());
        for (const std::string& caption : text.captions) {
            CHECK(images.contains(100 + std::stoll(caption) / 3));
        }
    }
    CHECK(rows == kRows);
    CHECK(where.size() == 200);
    CHECK(std::all_of(where.begin(), where.end(),
                      [](const auto& image) { return image.second.size() == 1; }));
}

TEST_CASE("images that rows share are kept together without captions too") {
    const TemporaryDirectory directory;
    PoolSchema schema;
    schema.input_shape = {1, 2, 3};
    schema.text.image_ids = true;
    PoolWriter writer(directory / "source.h5", schema, {});
    const std::vector<std::byte> inputs(40 * 6);
    std::vector<std::int64_t> images;
    for (std::int64_t row = 0; row < 40; ++row) images.push_back(row % 10);
    PoolRows rows;
    rows.rows = 40;
    rows.inputs = inputs;
    rows.image_ids = images;
    writer.append(rows);
    writer.finish();
    DeriveOptions options;
    options.output = directory / "parts";
    options.splits = parse_splits("a=20,b=rest");
    std::set<std::int64_t> seen[2];
    const auto derived = derive_pool(open_pool(directory / "source.h5"), options, {});
    for (std::size_t i = 0; i < 2; ++i) {
        REQUIRE(derived[i].rows == 20);
        std::vector<std::int64_t> ids(20);
        open_pool(derived[i].path).read_image_ids({0, 20}, ids);
        seen[i].insert(ids.begin(), ids.end());
        CHECK(seen[i].size() == 5);
    }
    seen[0].merge(seen[1]);
    CHECK(seen[0].size() == 10);
}

TEST_CASE("a split of part of the images leaves the others out") {
    const TemporaryDirectory directory;
    const PoolFile pool = captioned_pool(directory);
    DeriveOptions options;
    options.output = directory / "parts";
    options.splits = parse_splits("a=30,b=60");
    const auto derived = derive_pool(pool, options, {});
    CHECK(derived[0].rows == 30);
    CHECK(derived[1].rows == 60);
    options.overwrite = Overwrite::yes;
    options.splits = parse_splits("a=299,b=301");  // 100 images make 300 rows
    CHECK(contains(message_of([&] { derive_pool(pool, options, {}); }),
                   "--split leaves 300 rows for b, which is to have 301"));
}

TEST_CASE("clean pairs are added to shuffled ones with captions and images of their own") {
    const TemporaryDirectory directory;
    DeriveOptions derive;
    derive.output = directory / "derived";
    derive.splits = parse_splits("clean=90,web=rest");
    derive.spoil = "web";
    derive.shuffle_captions = 0.5;
    derive.rows_per_shard = 1000;
    derive_pool(captioned_pool(directory), derive, {});
    ImportOptions import;
    import.source = directory / "derived/clean";
    import.output = directory / "derived/web";
    import.append = true;
    const Text web(import.output), clean(import.source);
    REQUIRE(import_pool("hdf5", import, {}).pool.rows == kRows);
    const Text both(import.output);
    const auto joined = [](auto first, const auto& second) {
        first.insert(first.end(), second.begin(), second.end());
        return first;
    };
    CHECK(both.captions == joined(web.captions, clean.captions));
    CHECK(both.tokens == joined(web.tokens, clean.tokens));
    CHECK(both.image_ids == joined(web.image_ids, clean.image_ids));
    // Nobody shuffled the clean ones, so what their captions were written for is not told.
    CHECK(both.caption_of == joined(web.caption_of, std::vector<std::int64_t>(90, -1)));
}

TEST_CASE("images of another source get ids of their own") {
    const TemporaryDirectory directory;
    DeriveOptions derive;
    derive.output = directory / "copy";
    derive.rows_per_shard = 1000;
    derive_pool(captioned_pool(directory), derive, {});
    ImportOptions import;
    import.output = derive.output;
    import.source = directory / "again";
    std::filesystem::copy(derive.output, import.source, std::filesystem::copy_options::recursive);
    import.append = true;
    const Text once(import.output);
    import_pool("hdf5", import, {});
    const Text both(import.output);
    const std::set<std::int64_t> images(once.image_ids.begin(), once.image_ids.end()),
        all(both.image_ids.begin(), both.image_ids.end());
    CHECK(all.size() == 2 * images.size());
}

TEST_CASE("captions cannot be shuffled where there are none") {
    const TemporaryDirectory directory;
    SmallPool{}.write(directory / "plain.h5");
    DeriveOptions options;
    options.output = directory / "out.h5";
    options.shuffle_captions = 0.5;
    CHECK(contains(message_of([&] { derive_pool(open_pool(directory / "plain.h5"), options, {}); }),
                   "the pool has no captions to shuffle"));
    const PoolFile pool = captioned_pool(directory);
    options.shuffle_captions = 1.5;
    CHECK(
        contains(message_of([&] { derive_pool(pool, options, {}); }), "--shuffle-captions is 1.5"));
    options.shuffle_captions = 1.0;
    options.subset = 1;
    CHECK(contains(message_of([&] { derive_pool(pool, options, {}); }), "has only one"));
}
