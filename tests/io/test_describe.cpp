#include "io/atomic_file.hpp"
#include "io/batch_file.hpp"
#include "io/describe.hpp"
#include "io/predictions/scores_file.hpp"
#include "io/run/checkpoint.hpp"
#include "io/run/run_directory.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

TEST_CASE("every kind of file is described in words") {
    const TemporaryDirectory directory;
    const auto alone = make_local_collective();
    SmallPool{.names = true}.write(directory / "pool.h5");
    const std::string pool = describe(directory / "pool.h5");
    CHECK(contains(pool, "thresher-pool"));
    CHECK(contains(pool, "u8 [1, 2, 3]"));
    CHECK(contains(pool, "ant, bee, cat"));
    // Of rows 0..99 every fifth is unknown; the others count through the classes by row % 3.
    CHECK(contains(pool, "27, 26, 27"));
    CHECK(contains(pool, "20 rows"));
    CHECK(contains(pool, "thresher import"));

    SmallPool{.options = {.rows_per_shard = 40}}.write(directory / "shards");
    CHECK(contains(describe(directory / "shards/"), "a pool of 3 shards"));

    const std::vector<float> values{1.0F, 3.0F};
    OwnScores own{.total_rows = 2, .rows = {0, 2}};
    own.scores = {{"entropy", values}};
    own.quarantine = {{1, "too dark"}};
    write_scores(directory / "scores.h5", own, {}, {}, Overwrite::no, *alone, {});
    const std::string scores = describe(directory / "scores.h5");
    CHECK(contains(scores, "lowest 1, mean 2, highest 3"));
    CHECK(contains(scores, "id 1: too dark"));

    Batch batch;
    batch.ids = {4, 2};
    batch.scores = {2.0F, 1.0F};
    batch.acquisition = "margin";
    write_batch(directory / "batch.h5", batch, {}, Overwrite::no);
    CHECK(contains(describe(directory / "batch.h5"), "margin"));
    CHECK(contains(describe(directory / "batch.csv"), "a list of labels"));

    write_checkpoint(directory / "run/checkpoints", 12, *alone, [] {
        return CheckpointFiles{{"m", "x"}};
    });
    write_run(directory / "run/run.h5", {{{"loss", {{2}, {2.0, 0.5}, "", "nat"}}}, {}, {}}, {});
    CHECK(contains(describe(directory / "run"), "last 0.5 nat"));
    CHECK(contains(describe(directory / "run/checkpoints/000012"), "a checkpoint"));
}

TEST_CASE("anything else is described as what it is, or refused in clear words") {
    const TemporaryDirectory directory;
    write_file(directory / "binary", std::string("\x01\x02\x00\xff", 4), Overwrite::no);
    CHECK(contains(describe(directory / "binary"), "no file of Thresher's"));
    CHECK(contains(message_of([&] { describe(directory / "none"); }), "does not exist"));
    CHECK(contains(message_of([&] { describe(directory.path()); }), "neither a sharded pool"));
    write_file(directory / "x.h5", "hello", Overwrite::no);
    CHECK(contains(message_of([&] { describe(directory / "x.h5"); }), "is no HDF5 file"));
}
