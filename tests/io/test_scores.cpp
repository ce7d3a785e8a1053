#include <sys/wait.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <limits>

#include "io/hdf5/file.hpp"
#include "io/predictions/scores_file.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

TEST_CASE("one rank's scores read back, by acquisition") {
    const TemporaryDirectory directory;
    const auto alone = make_local_collective();
    const std::vector<float> entropy{0.5F, 1.5F, std::numeric_limits<float>::quiet_NaN()};
    const std::vector<float> margin{3.0F, 2.0F, 1.0F};
    OwnScores own{.total_rows = 3, .rows = {0, 3}};
    own.scores = {{"entropy", entropy}, {"margin", margin}};
    own.quarantine = {{2, "score is NaN"}};
    SECTION("ids are rows") {
        write_scores(directory / "scores.h5", own, {{"entropy", "entropy of the mean"}}, {},
                     Overwrite::no, *alone, {});
        CHECK(ScoresFile(directory / "scores.h5").ids_are_rows());
    }
    SECTION("ids are stored") {
        const std::vector<std::int64_t> ids{10, 11, 2};
        own.ids = ids;
        write_scores(directory / "scores.h5", own, {}, {}, Overwrite::no, *alone, {});
        const ScoresFile file(directory / "scores.h5");
        std::vector<std::int64_t> found(2);
        file.read_ids({1, 3}, found);
        CHECK(found == std::vector<std::int64_t>{11, 2});
    }
    const ScoresFile file(directory / "scores.h5");
    CHECK(file.rows() == 3);
    CHECK(file.acquisitions() == std::vector<std::string>{"entropy", "margin"});
    std::vector<float> scores(2);
    file.read("margin", {1, 3}, scores);
    CHECK(scores == std::vector<float>{2.0F, 1.0F});
    REQUIRE(file.quarantine().size() == 1);
    CHECK(file.quarantine()[0].id == 2);
    CHECK(file.quarantine()[0].reason == "score is NaN");
    CHECK(contains(message_of([&] {
                       file.read("bald", {0, 2}, scores);
                   }),
                   "no scores of acquisition bald; it has entropy, margin"));
    CHECK(contains(message_of([&] {
                       write_scores(directory / "scores.h5", own, {}, {}, Overwrite::no, *alone,
                                    {});
                   }),
                   "--overwrite"));
    CHECK(directory.files().size() == 1);
}

TEST_CASE("scores stored as plain floats are mapped, and changes to them stay in the process") {
    const TemporaryDirectory directory;
    const auto alone = make_local_collective();
    std::vector<float> scores(5000);
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = static_cast<float>(i) / 7.0F;
    OwnScores own{.total_rows = 5000, .rows = {0, 5000}};
    own.scores = {{"entropy", scores}};
    write_scores(directory / "scores.h5", own, {}, {}, Overwrite::no, *alone, {});
    const ScoresFile file(directory / "scores.h5");
    const std::optional<MappedRows> mapped = file.map("entropy", {4097, 4999});
    REQUIRE(mapped);
    REQUIRE(mapped->bytes().size() == 902 * sizeof(float));
    CHECK(std::memcmp(mapped->bytes().data(), scores.data() + 4097, 902 * sizeof(float)) == 0);
    std::memset(mapped->bytes().data(), 0, mapped->bytes().size());
    std::vector<float> found(902);
    file.read("entropy", {4097, 4999}, found);
    CHECK(std::memcmp(found.data(), scores.data() + 4097, 902 * sizeof(float)) == 0);
    REQUIRE(file.map("entropy", {7, 7}));
    CHECK(file.map("entropy", {7, 7})->bytes().empty());
}

TEST_CASE("scores stored otherwise than as plain floats in one piece are not mapped") {
    const TemporaryDirectory directory;
    {
        hdf5::File file = hdf5::File::create(directory / "own.h5");
        file.create_dataset({.name = "/scores/chunked",
                             .type = hdf5::Type::float32,
                             .shape = {300},
                             .chunk_rows = 100});
        file.close();
    }
    CHECK_FALSE(ScoresFile(directory / "own.h5").map("chunked", {0, 300}));
}

TEST_CASE("a file cut short while it is mapped ends the process with an error that names it") {
    const TemporaryDirectory directory;
    const std::string path = directory / "cut.bin";
    write_file(path, std::string(1 << 16, 'x'), Overwrite::no);
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        const MappedRows mapped(path, 100, 60000);
        std::filesystem::resize_file(path, 0);
        volatile std::byte* bytes = mapped.bytes().data();
        static_cast<void>(bytes[50000]);
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string text(1000, '\0');
    const ssize_t count = ::read(ends[0], text.data(), text.size());
    ::close(ends[0]);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 1);
    CHECK(contains(text, "thresher: " + path + ": was cut short"));
}

TEST_CASE("scores files that are none are refused with every reason") {
    const TemporaryDirectory directory;
    SmallPool{}.write(directory / "pool.h5");
    CHECK(contains(message_of([&] { ScoresFile file(directory / "pool.h5"); }),
                   "is a thresher-pool file, expected a thresher-scores file"));
    {
        hdf5::File file = hdf5::File::create(directory / "own.h5");
        file.create_dataset({.name = "/scores/a", .type = hdf5::Type::float32, .shape = {3}});
        file.create_dataset({.name = "/scores/b", .type = hdf5::Type::float32, .shape = {4}});
        file.create_dataset({.name = "/ids", .type = hdf5::Type::float32, .shape = {3}});
        file.close();
    }
    const std::string message = message_of([&] { ScoresFile file(directory / "own.h5"); });
    CHECK(contains(message, "/scores/b has 4 rows, /scores/a has 3"));
    CHECK(contains(message, "/ids is f32 of shape [3], expected i64 [3]"));
}
