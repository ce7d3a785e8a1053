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
