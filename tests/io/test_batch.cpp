#include "io/batch_file.hpp"
#include "io/hdf5/file.hpp"
#include "io/id_set.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

Batch small_batch() {
    Batch batch;
    batch.ids = {42, 7, 9};
    batch.scores = {0.1F, 1e-30F, -2.5F};
    batch.names = {"a.png", "b, \"c\".png", ""};
    batch.acquisition = "entropy";
    batch.selector = "softmax";
    batch.beta = 2.0;
    batch.inclusion_probabilities = {0.5, 0.25, 1.0};
    batch.weights = {0.2, 0.4, 0.1};
    batch.seed = 0xFFFFFFFFFFFFFFFFULL;
    batch.round = 3;
    batch.settings = {{"similarity", "cosine"}};
    return batch;
}

}  // namespace

TEST_CASE("a batch reads back, and its list is there for the person who labels") {
    const TemporaryDirectory directory;
    write_batch(directory / "batch.h5", small_batch(), {}, Overwrite::no);
    const Batch batch = read_batch(directory / "batch.h5");
    CHECK(batch.ids == small_batch().ids);
    CHECK(batch.scores == small_batch().scores);
    CHECK(batch.names == small_batch().names);
    CHECK(batch.acquisition == "entropy");
    CHECK(batch.selector == "softmax");
    CHECK(batch.beta == 2.0);
    CHECK(batch.inclusion_probabilities == small_batch().inclusion_probabilities);
    CHECK(batch.weights == small_batch().weights);
    CHECK(batch.seed == 0xFFFFFFFFFFFFFFFFULL);
    CHECK(batch.round == 3);
    CHECK(read_file(directory / "batch.csv") ==
          "id,score,name,label\n42,0.1,a.png,\n7,1e-30,\"b, \"\"c\"\".png\",\n9,-2.5,,\n");
    const hdf5::File file = hdf5::File::open(directory / "batch.h5");
    CHECK(hdf5::read_string(file.root(), "similarity") == "cosine");
    CHECK(hdf5::read_integer(file.root(), "k") == 3);
    CHECK(contains(
        message_of([&] { write_batch(directory / "batch.h5", small_batch(), {}, Overwrite::no); }),
        "exists already"));
}

TEST_CASE(
    "a list that a killed job left without its batch is replaced, one that is in use is not") {
    const TemporaryDirectory directory;
    const std::string path = directory / "batch.h5", list = directory / "batch.csv";
    Batch batch;
    batch.ids = {3, 1};
    batch.scores = {0.5F, 0.25F};
    write_batch(path, batch, {}, Overwrite::no);
    std::filesystem::remove(path);
    write_batch(path, batch, {}, Overwrite::no);
    CHECK(read_batch(path).ids == batch.ids);
    for (const char* text : {"id,score,name,label\n3,0.5,,dog\n", "id,what\n3,my own list\n"}) {
        std::filesystem::remove(path);
        write_file_synced(list, text);
        CHECK(contains(message_of([&] { write_batch(path, batch, {}, Overwrite::no); }),
                       "batch.csv: exists already"));
    }
}

TEST_CASE("ids come from a batch, a labels file or a list") {
    const TemporaryDirectory directory;
    write_batch(directory / "batch.h5", small_batch(), {}, Overwrite::no);
    CHECK(read_id_set(directory / "batch.h5") == std::vector<std::int64_t>{42, 7, 9});
    CHECK(read_id_set(directory / "batch.csv") == std::vector<std::int64_t>{42, 7, 9});
    write_file(directory / "ids.txt", "# chosen by hand\n5\r\n\n3\n8", Overwrite::no);
    CHECK(read_id_set(directory / "ids.txt") == std::vector<std::int64_t>{5, 3, 8});
    write_file(directory / "bad.txt", "5\nfive\n5\n-1\n", Overwrite::no);
    const std::string message = message_of([&] { read_id_set(directory / "bad.txt"); });
    CHECK(contains(message, "3 bad lines"));
    CHECK(contains(message, "line 2: \"five\" is no id"));
    CHECK(contains(message, "line 3: id 5 stands on line 1 already"));
    CHECK(contains(message, "line 4: \"-1\" is no id"));
    write_file(directory / "none.txt", "\n", Overwrite::no);
    CHECK(contains(message_of([&] { read_id_set(directory / "none.txt"); }), "holds no id"));
}

TEST_CASE("several ids on one line of a list are refused, not cut to the first") {
    const TemporaryDirectory directory;
    const auto message = [&](const std::string& text) {
        write_file(directory / "ids.txt", text, Overwrite::yes);
        return message_of([&] { read_id_set(directory / "ids.txt"); });
    };
    const std::string one_line = message("1,2,3\n");
    CHECK(contains(one_line, "ids.txt: 1 bad lines"));
    CHECK(contains(one_line, "line 1: \"1,2,3\" has 3 fields"));
    CHECK(contains(one_line, "one id a line, or a CSV with a column id"));
    CHECK(contains(message("7\n1;2\n"), "line 2: \"1;2\" is no id"));
    CHECK(contains(message("1\t2\n"), "line 1: \"1\\t2\" has 2 fields"));
    CHECK(contains(message("id\n7\n1,2\n"), "line 3: \"1,2\" has 2 fields"));
    CHECK(contains(message("row,label\n1,2\n"), "line 1: \"row,label\" has 2 fields"));
    CHECK(contains(message("id,name\n1,\"two\n2,lines\"\n"), "line 2: a quote is not closed"));
}

TEST_CASE("a list of ids may have a header, blank lines, CRLF and a byte-order mark") {
    const TemporaryDirectory directory;
    for (const char* text :
         {"5\n3\n", "id\n5\n3", "\xEF\xBB\xBFid\r\n\r\n5\r\n3\r\n",
          "\xEF\xBB\xBF"
          "5\r\n\r\n3\r\n",
          "# by hand, twice\nname;id\na;5\n\"b, c\";3\n", "\"a,1\";id\nx;5\ny;3\n",
          "id,score,name,label\n5,1.5,\"a, b.png\",\n3,0.2,c.png,cat\n"}) {
        write_file(directory / "ids.txt", text, Overwrite::yes);
        CHECK(read_id_set(directory / "ids.txt") == std::vector<std::int64_t>{5, 3});
    }
}

TEST_CASE("a batch is known by its contents, and other binary files are not printed") {
    const TemporaryDirectory directory;
    write_batch(directory / "batch.h5", small_batch(), {}, Overwrite::no);
    std::filesystem::rename(directory / "batch.h5", directory / "batch.hdf5");
    CHECK(read_id_set(directory / "batch.hdf5") == std::vector<std::int64_t>{42, 7, 9});
    write_file(directory / "photo", "\x89PNG\r\n\x1a\n" + std::string(500, '\x1b'), Overwrite::no);
    const std::string message = message_of([&] { read_id_set(directory / "photo"); });
    CHECK(contains(message, "line 1: \"\\x89PNG\" is no id"));
    CHECK(contains(message, "\\x1b..."));
    CHECK(!contains(message, "\x1b"));
    CHECK(message.size() < 600);
    CHECK(!contains(message_of([&] { read_labels(directory / "batch.hdf5", {}, 3); }), "\x89"));
}

TEST_CASE("a file in UTF-16 is named as one") {
    const TemporaryDirectory directory;
    for (const std::string& text : {std::string("\xFF\xFEi\0d\0\n\0"
                                                "5\0",
                                                10),
                                    std::string("\xFE\xFF\0i\0d\0\n\0"
                                                "5",
                                                10)}) {
        write_file(directory / "ids.csv", text, Overwrite::yes);
        for (const auto& message :
             {message_of([&] { read_id_set(directory / "ids.csv"); }),
              message_of([&] { read_labels(directory / "ids.csv", {}, 3); })}) {
            CHECK(contains(message, "ids.csv: is text in UTF-16; save it as UTF-8"));
        }
    }
}

TEST_CASE("a label written as a fraction counts where it is a whole number") {
    const TemporaryDirectory directory;
    const auto labels = [&](const std::string& text, const std::vector<std::string>& classes) {
        write_file(directory / "labels.csv", text, Overwrite::yes);
        return read_labels(directory / "labels.csv", classes, 4).labels;
    };
    CHECK(labels("id,label\n5,3.0\n6,\n7,0.00\n", {}) == std::vector<std::int64_t>{3, 0});
    CHECK(labels("id,label\n5,3.0\n6,1.0\n", {"3", "1.0", "a", "b"}) ==
          std::vector<std::int64_t>{0, 1});
    for (const char* bad : {"3.5", "3.", ".0", "4.0", "-1.0", "3.0.0", "3.01"}) {
        CHECK(contains(message_of([&] { labels(std::string("id,label\n5,") + bad + "\n", {}); }),
                       std::string("line 2: \"") + bad + "\" is no class"));
    }
}

TEST_CASE("labels after a quote that is not closed are refused") {
    const TemporaryDirectory directory;
    write_file(directory / "labels.csv", "id,label,comment\n1,2,\"two\n3,0,lines\"\n",
               Overwrite::no);
    CHECK(contains(message_of([&] { read_labels(directory / "labels.csv", {}, 3); }),
                   "line 2: a quote is not closed"));
}

TEST_CASE("labels are names or numbers, and bad lines are reported together") {
    const TemporaryDirectory directory;
    const std::vector<std::string> classes{"ant", "bee", "3"};
    write_file(directory / "labels.csv",
               "\xEF\xBB\xBFid,score,name,label\r\n4,0.5,\"x, y\",bee\r\n9,0.1,z,0\r\n11,0,q,\r\n",
               Overwrite::no);
    const Labels labels = read_labels(directory / "labels.csv", classes, 3);
    CHECK(labels.ids == std::vector<std::int64_t>{4, 9});
    CHECK(labels.labels == std::vector<std::int64_t>{1, 0});
    CHECK(labels.unlabelled == 1);
    write_labels(directory / "again.csv", labels, classes, Overwrite::no);
    CHECK(read_file(directory / "again.csv") == "id,label\n4,bee\n9,ant\n");

    write_file(directory / "semicolons.csv", "id;score;label\r\n4;0,5;bee\r\n9;0,25;ant\r\n",
               Overwrite::no);
    const Labels decimal_commas = read_labels(directory / "semicolons.csv", classes, 3);
    CHECK(decimal_commas.ids == std::vector<std::int64_t>{4, 9});
    CHECK(decimal_commas.labels == labels.labels);
    CHECK(read_id_set(directory / "semicolons.csv") == decimal_commas.ids);

    write_file(directory / "bad.csv", "id,label\n1,wasp\n2,3\n2,1\nx,1\n7,7\n", Overwrite::no);
    const std::string message = message_of([&] { read_labels(directory / "bad.csv", classes, 3); });
    CHECK(contains(message, "line 2: \"wasp\" is no class"));
    CHECK(contains(message, "line 4: id 2 stands on line 3 already"));
    CHECK(contains(message, "line 5: \"x\" is no id"));
    CHECK(contains(message, "line 6: \"7\" is no class"));
    CHECK(contains(message, "labels are 0 to 2, or one of ant, bee, 3"));
    write_file(directory / "head.csv", "row,label\n1,2\n", Overwrite::no);
    CHECK(contains(message_of([&] { read_labels(directory / "head.csv", classes, 3); }),
                   "must name the columns id and label"));
}
