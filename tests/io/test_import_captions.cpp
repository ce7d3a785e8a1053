#include <filesystem>
#include <set>

#include "io/atomic_file.hpp"
#include "io/importers/importers.hpp"
#include "io/pool/block_reader.hpp"
#include "src/pool/vocabulary.hpp"
#include "tests/io/png_support.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

/// A 2 x 1 grey image of two neighbouring values.
std::string image_of(unsigned char value) {
    return png_of({value, static_cast<unsigned char>(value + 1)}, 2, 1, false);
}

const std::string kTable =
    "file\tcaption\twords\tkind\n"
    "images/a.png\ta red square\tsquare, red\tshape\n"
    "images/b.png\ta small dog\tdog\tanimal\n"
    "images/c.png\ta blue square\t\tshape\n";

Files three_images(const std::string& table = kTable) {
    return {{"pack/images/a.png", image_of(10)},
            {"pack/captions.tsv", table},
            {"pack/images/b.png", image_of(20)},
            {"pack/images/c.png", image_of(30)}};
}

/// Writes the files into a folder, or as an archive, and imports that.
struct Source {
    Source(const Files& files, bool archive) {
        options.source = directory / (archive ? "pack.tar" : "folder");
        options.output = directory / "pool.h5";
        options.token_length = 12;
        if (archive) {
            write_file(options.source, tar_of(files), Overwrite::no);
            return;
        }
        for (const auto& [name, content] : files) {
            const std::filesystem::path path = options.source + "/" + name;
            std::filesystem::create_directories(path.parent_path());
            write_file(path.string(), content, Overwrite::yes);
        }
    }

    ImportReport run() const { return import_pool("image-text", options, {}); }
    std::string failure() const {
        return message_of([&] { run(); });
    }

    TemporaryDirectory directory;
    ImportOptions options;
};

std::vector<std::int64_t> image_ids_of(const PoolFile& pool) {
    std::vector<std::int64_t> ids(static_cast<std::size_t>(pool.info().rows));
    pool.read_image_ids({0, pool.info().rows}, ids);
    return ids;
}

std::vector<std::int32_t> tokens_of(const PoolFile& pool) {
    std::vector<std::int32_t> tokens(
        static_cast<std::size_t>(pool.info().rows * pool.info().token_length));
    pool.read_tokens({0, pool.info().rows}, tokens);
    return tokens;
}

const std::string kCoco = R"({
    "images": [{"id": 7, "file_name": "b.png"}, {"id": 5, "file_name": "a.png"}],
    "annotations": [{"id": 1, "image_id": 5, "caption": "a red square"},
                    {"id": 2, "image_id": 7, "caption": "one dog"},
                    {"id": 3, "image_id": 5, "caption": "the square is red\n"}]})";

}  // namespace

TEST_CASE("images with captions.tsv become a pool, from a folder as from an archive") {
    const bool archive = GENERATE(false, true);
    Source source(three_images(), archive);
    source.options.target_column = "kind";
    const ImportReport report = source.run();
    CHECK(report.quarantined.empty());
    CHECK(report.pool.rows == 3);
    CHECK(report.pool.input_shape == std::vector<std::int64_t>{1, 1, 2});
    CHECK(report.pool.token_length == 12);
    CHECK(report.pool.class_names == std::vector<std::string>{"shape", "animal"});
    const PoolFile pool = open_pool(source.options.output);
    const std::vector<std::string> captions{"a red square", "a small dog", "a blue square"};
    CHECK(pool.read_captions({0, 3}) == captions);
    CHECK(pool.read_names({1, 2})[0] == "pack/images/b.png");
    std::vector<std::byte> inputs(6);
    pool.read_inputs({0, 3}, inputs);
    CHECK(inputs[2] == std::byte{20});
    const Vocabulary vocabulary(pool.vocabulary());
    CHECK(report.pool.vocabulary == vocabulary.size());
    CHECK(tokens_of(pool) == encode_texts(pool.vocabulary(), captions, 12));
    CHECK_FALSE(pool.has_image_ids());
    CHECK(image_ids_of(pool) == std::vector<std::int64_t>{0, 1, 2});
    REQUIRE(report.notes.size() == 1);
    CHECK(contains(report.notes[0], "pieces, not 2000: the captions give no more"));
}

TEST_CASE("columns that are named make the caption together") {
    Source source(three_images(), true);
    source.options.caption_columns = {"caption", "words"};
    source.run();
    CHECK(
        open_pool(source.options.output).read_captions({0, 3}) ==
        std::vector<std::string>{"a red square, square, red", "a small dog, dog", "a blue square"});
    source.options.overwrite = Overwrite::yes;
    source.options.caption_columns = {"title"};
    CHECK(contains(source.failure(),
                   "has no column \"title\" (--caption-columns); its first line "
                   "names file, caption, words, kind"));
}

TEST_CASE("COCO's captions are rows that share their image") {
    const bool archive = GENERATE(false, true);
    const Source source({{"coco/train2017/a.png", image_of(10)},
                         {"coco/train2017/b.png", image_of(20)},
                         {"coco/annotations/captions_train2017.json", kCoco}},
                        archive);
    const ImportReport report = source.run();
    const PoolFile pool = open_pool(source.options.output);
    REQUIRE(report.pool.rows == 3);
    CHECK(pool.read_captions({0, 3}) ==
          std::vector<std::string>{"one dog", "a red square", "the square is red"});
    CHECK(image_ids_of(pool) == std::vector<std::int64_t>{0, 1, 1});
    std::vector<std::byte> inputs(6);
    pool.read_inputs({0, 3}, inputs);
    CHECK(inputs[0] == std::byte{20});
    CHECK(inputs[2] == std::byte{10});
    CHECK(inputs[4] == std::byte{10});
}

TEST_CASE("a file of captions is found by the end of its name, below one folder or several") {
    const bool archive = GENERATE(false, true);
    Source source({{"coco/train2017/a.png", image_of(10)},
                   {"coco/train2017/b.png", image_of(20)},
                   {"coco/annotations/captions_train2017.json", kCoco},
                   {"coco/annotations/captions_val2017.json", "{}"},
                   {"coco/old/captions_val2017.json", "{}"}},
                  archive);
    source.options.captions = "annotations/captions_train2017.json";
    CHECK(source.run().pool.rows == 3);
    source.options.overwrite = Overwrite::yes;
    source.options.captions = "captions_val2017.json";
    CHECK(contains(source.failure(),
                   "holds several files captions_val2017.json "
                   "(coco/annotations/captions_val2017.json, coco/old/captions_val2017.json)"));
    // Whole folders and files alone.
    source.options.captions = "train2017.json";
    CHECK(contains(source.failure(),
                   "holds no file train2017.json (--captions); of .tsv and .json there are: "
                   "coco/annotations/captions_train2017.json, coco/annotations/captions_val2017"));
}

TEST_CASE("an image that a table names is found by the end of its name, if there is one alone") {
    const std::string table =
        "file\tcaption\nimages/a.png\ta red square\nb.png\ta small dog\nc.png\ta cat\n";
    Source source({{"pack/images/a.png", image_of(10)},
                   {"pack/images/b.png", image_of(20)},
                   {"pack/images/c.png", image_of(30)},
                   {"pack/more/c.png", image_of(40)},
                   {"pack/text/captions.tsv", table}},
                  GENERATE(false, true));
    CHECK(contains(source.failure(),
                   "line 4: several files are called c.png (pack/images/c.png, pack/more/c.png)"));
    source.options.max_bad = BadLimit::parse("1");
    const ImportReport report = source.run();
    REQUIRE(report.pool.rows == 2);
    CHECK(open_pool(source.options.output).read_captions({0, 2}) ==
          std::vector<std::string>{"a red square", "a small dog"});
}

TEST_CASE("blocks and examples bring the captions along") {
    const TemporaryDirectory directory;
    Source source({{"a.png", image_of(10)}, {"b.png", image_of(20)}, {"captions.json", kCoco}},
                  false);
    source.options.rows_per_shard = GENERATE(0, 2);
    source.options.output = directory / "pool";
    source.run();
    const PoolFile pool = open_pool(source.options.output);
    const std::vector<std::int32_t> tokens = tokens_of(pool);
    const auto reader = make_block_reader(pool, 0, 1);
    Block block;
    REQUIRE(reader->next(block));
    CHECK(std::vector(block.tokens.begin(), block.tokens.end()) == tokens);
    CHECK(std::vector(block.image_ids.begin(), block.image_ids.end()) ==
          std::vector<std::int64_t>{0, 1, 1});
    const std::vector<std::int64_t> rows{2, 0}, all{0, 1};
    Examples examples;
    const auto check = [&](ExampleSource& from, const std::vector<std::int64_t>& positions) {
        from.fetch(positions, examples);
        CHECK(examples.image_ids == std::vector<std::int64_t>{1, 0});
        CHECK(examples.caption_of.empty());
        REQUIRE(examples.tokens.size() == 24);
        CHECK(std::equal(tokens.begin() + 24, tokens.end(), examples.tokens.begin()));
        CHECK(std::equal(tokens.begin(), tokens.begin() + 12, examples.tokens.begin() + 12));
    };
    check(*make_example_source(pool, 1 << 20), rows);
    check(*make_example_source(pool, rows, 1 << 20), all);
    check(*make_example_source(pool, rows, 0), all);
}

TEST_CASE("captions and images that cannot be used are set apart with their reason") {
    Files files = three_images(
        "file\tcaption\n"
        "images/a.png\ta red square\n"
        "images/gone.png\tnothing to see\n"
        "images/b.png\t  \n"
        "images/b.png\tcaf\xE9\n"
        "images/c.png\ta blue square\n"
        "images/cut.png\ta cut\n"
        "images/a.png\tone\tfield too many\n"
        "images/a.png\t\xE2\x80\x8B\n");  // a blank without width, which is no token
    files.emplace_back("pack/images/cut.png", image_of(1).substr(0, 40));
    Source source(files, true);
    CHECK(contains(source.failure(), "line 3: there is no file pack/images/gone.png"));
    source.options.max_bad = BadLimit::parse("6");
    const ImportReport report = source.run();
    CHECK(report.pool.rows == 2);
    REQUIRE(report.quarantined.size() == 6);
    CHECK(std::is_sorted(report.quarantined.begin(), report.quarantined.end(),
                         [](const auto& a, const auto& b) { return a.id < b.id; }));
    const auto reason = [&](std::int64_t line) {
        for (const QuarantinedRow& row : report.quarantined) {
            if (row.id == line) return row.reason;
        }
        return std::string("none");
    };
    CHECK(reason(3) == "line 3: there is no file pack/images/gone.png");
    CHECK(reason(4) == "line 4: the caption of pack/images/b.png is empty");
    CHECK(reason(5) == "line 5: holds bytes that are no UTF-8 text");
    CHECK(contains(reason(7), "pack/images/cut.png: the PNG cannot be decoded: "));
    CHECK(reason(8) == "line 8: 3 fields, the first line has 2");
    CHECK(reason(9) == "pack/images/a.png: the caption has no letter");
    CHECK(open_pool(source.options.output).read_captions({0, 2}) ==
          std::vector<std::string>{"a red square", "a blue square"});
}

TEST_CASE("long captions are cut and counted, or refused") {
    Source source(three_images(), false);
    source.options.token_length = 2;
    const ImportReport cut = source.run();
    CHECK(cut.pool.rows == 3);
    REQUIRE(cut.notes.size() == 2);
    CHECK(contains(cut.notes[1], "3 captions have more than 2 tokens"));
    const PoolFile pool = open_pool(source.options.output);
    CHECK(tokens_of(pool) == encode_texts(pool.vocabulary(), pool.read_captions({0, 3}), 2));
    source.options.overwrite = Overwrite::yes;
    source.options.long_captions = LongCaptions::refuse;
    CHECK(contains(source.failure(), "allowed are 2 (--token-length)"));
    source.options.token_length = 0;
    CHECK(contains(source.failure(), "--token-length is 0; allowed are 1 to 4096"));
}

TEST_CASE("a vocabulary is taken over from a pool or a model's file") {
    Source first(three_images(), false);
    first.run();
    const std::string model = open_pool(first.options.output).vocabulary();
    Source second(three_images("file\tcaption\nimages/a.png\tquite other words\n"), true);
    second.options.vocabulary = first.options.output;
    second.run();
    CHECK(open_pool(second.options.output).vocabulary() == model);
    second.options.overwrite = Overwrite::yes;
    second.options.vocabulary = first.directory / "words.model";
    write_file(second.options.vocabulary, model, Overwrite::no);
    second.run();
    CHECK(open_pool(second.options.output).vocabulary() == model);
    write_file(second.options.vocabulary, "no model", Overwrite::yes);
    CHECK(contains(second.failure(), second.options.vocabulary +
                                         ": the vocabulary of 8 bytes is no "
                                         "SentencePiece model"));
    second.options.vocabulary = first.directory / "gone.model";
    CHECK(contains(second.failure(), second.options.vocabulary + ": does not exist"));
    second.options.vocabulary.clear();
    second.options.vocabulary_size = 3;
    CHECK(contains(second.failure(), "give a larger --vocabulary-size"));
}

TEST_CASE("captions are added to a pool of shards in its vocabulary, their images numbered on") {
    Source source({{"a.png", image_of(10)}, {"b.png", image_of(20)}, {"captions.json", kCoco}},
                  false);
    source.options.output = source.directory / "pool";
    source.options.rows_per_shard = 2;
    source.run();
    const std::string model = open_pool(source.options.output).vocabulary();
    Source more(three_images(), true);
    more.options.output = source.options.output;
    more.options.append = true;
    more.run();
    const PoolFile pool = open_pool(source.options.output);
    CHECK(pool.vocabulary() == model);
    CHECK(image_ids_of(pool) == std::vector<std::int64_t>{0, 1, 1, 3, 4, 5});
    CHECK(tokens_of(pool) == encode_texts(model, pool.read_captions({0, 6}), 12));
    more.options.vocabulary = source.directory / "other.model";
    write_file(more.options.vocabulary, train_vocabulary(std::vector<std::string>{"x"}, 9),
               Overwrite::no);
    CHECK(contains(more.failure(), "were encoded in another vocabulary than those there"));
    more.options.vocabulary.clear();
    more.options.token_length = 8;
    CHECK(contains(more.failure(), "do not fit the pool there"));
}

TEST_CASE("sources without captions, with several, or with something else are refused") {
    Files images = three_images();
    images.erase(images.begin() + 1);
    CHECK(contains(Source(images, true).failure(), "holds neither captions.tsv nor"));
    const auto with = [&](const std::string& name, const std::string& text) {
        Files files = images;
        files.emplace_back("pack/" + name, text);
        return Source(files, true).failure();
    };
    CHECK(contains(with("captions.json", "{\"images\": []}"), "it lacks one of the two lists"));
    CHECK(contains(with("captions.json", "[1, 2"), "is no COCO captions file: "));
    CHECK(contains(with("captions.json", R"({"images": [{"id": 1, "file_name": "a.png"}],
                        "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]})"),
                   "annotation 0 lacks its image_id or caption"));
    CHECK(contains(with("captions.json", R"({"images": [{"id": 1, "file_name": "a.png"}],
                        "annotations": [{"image_id": 2, "caption": "x"}]})"),
                   "has no usable caption; the first: annotation 0: there is no image with the id "
                   "2"));
    CHECK(contains(with("captions.tsv", "image\tcaption\n"), "has no column \"file\""));
    CHECK(contains(with("captions.tsv", "file\tcaption\n"), "has no usable caption"));
    Files both = three_images();
    both.emplace_back("more/captions.tsv", kTable);
    Source several(both, false);
    CHECK(contains(several.failure(), "more/captions.tsv, pack/captions.tsv); choose one"));
    several.options.captions = "pack/captions.tsv";
    CHECK(several.run().pool.rows == 3);
    several.options.captions = "captions.tsv";
    CHECK(contains(several.failure(),
                   "holds several files captions.tsv (more/captions.tsv, pack/captions.tsv)"));
}

TEST_CASE("an archive that is compressed, cut or none is refused") {
    Source source(three_images(), true);
    const std::string archive = read_file(source.options.source);
    const auto failure = [&](const std::string& bytes) {
        write_file(source.options.source, bytes, Overwrite::yes);
        return source.failure();
    };
    CHECK(contains(failure("\x1f\x8b" + archive), "unpack it with gunzip first"));
    CHECK(contains(failure(archive.substr(0, 700)), "the file is truncated"));
    CHECK(contains(failure(std::string(600, 'x')), "is no tar archive"));
    CHECK(contains(failure("short"), "is no tar archive"));
    source.options.source += ".gone";
    CHECK(contains(source.failure(), "does not exist"));
}

TEST_CASE("long names in archives are read in the three ways that tar has for them") {
    const std::string folder(90, 'd'), file = std::string(60, 'f') + ".png";
    const std::string path = folder + "/" + file;
    const auto extended = [&](char type, const std::string& text) {
        std::string header = tar_of({{"extension", text}});
        header[156] = type;
        return header.substr(0, header.size() - 1024);
    };
    std::string archive = tar_of({{"captions.tsv", "file\tcaption\n" + path + "\ta dot\n"}});
    archive.resize(archive.size() - 1024);
    const std::string image = image_of(10);
    SECTION("GNU") { archive += extended('L', path + '\0') + tar_of({{"cut", image}}); }
    SECTION("POSIX") {
        const std::string record = fmt::format(" path={}\n", path);
        archive +=
            extended('x', std::to_string(record.size() + 3) + record) + tar_of({{"cut", image}});
    }
    SECTION("ustar") {
        std::string plain = tar_of({{file, image}});
        plain.replace(345, folder.size(), folder);
        archive += plain;
    }
    Source source({}, true);
    write_file(source.options.source, archive, Overwrite::yes);
    source.run();
    CHECK(open_pool(source.options.output).read_names({0, 1})[0] == path);
}

TEST_CASE("the emoji and COCO packs are imported as they are") {
    const std::string packs = THRESHER_GOLDEN_DIR "/../data/";
    ImportOptions options;
    const TemporaryDirectory directory;
    options.output = directory / "pool.h5";
    options.source = packs + "emoji-noto-64.tar";
    if (!std::filesystem::exists(options.source)) {
        WARN("skipped: no " << options.source);
        return;
    }
    const ImportReport emoji = import_pool("image-text", options, {});
    CHECK(emoji.pool.rows == 1911);
    CHECK(emoji.pool.input_shape == std::vector<std::int64_t>{3, 64, 64});
    CHECK(open_pool(options.output).read_captions({0, 1})[0] == "grinning face");
    options.source = packs + "coco-mini-159-boxes-captions.tar";
    options.captions = "coco-mini/annotations/captions_val2017.json";
    options.size = 32;
    options.overwrite = Overwrite::yes;
    const ImportReport coco = import_pool("image-text", options, {});
    CHECK(coco.pool.rows == 395);
    const auto ids = image_ids_of(open_pool(options.output));
    CHECK(std::set(ids.begin(), ids.end()).size() == 79);
}
