// A process that dies while it writes a checkpoint, at every stage of it: what the next one finds.

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "io/run/checkpoint.hpp"
#include "src/base/thread_collective.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

CheckpointFiles files_at(std::int64_t step) {
    return {{"model.bin", std::string(1000, static_cast<char>('a' + step))},
            {"state.json", "{\"step\": " + std::to_string(step) + "}"}};
}

void write_step(const std::string& directory, std::int64_t step) {
    const auto alone = make_local_collective();
    write_checkpoint(directory, step, *alone, [&] { return files_at(step); });
}

/// Another process writes checkpoint `step` and dies at `fault`.
void die_while_writing(const std::string& directory, std::int64_t step, const char* fault) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        setenv("THRESHER_FAULT", fault, 1);
        write_step(directory, step);
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGKILL);
}

}  // namespace

TEST_CASE("a process that dies at any stage of a checkpoint leaves the newest valid one") {
    struct Stage {
        const char* fault;
        std::int64_t newest;
    };
    const Stage stage =
        GENERATE(Stage{"before writing", 2}, Stage{"half written", 2},
                 Stage{"written and not synced", 2}, Stage{"agreed on and not renamed", 2},
                 Stage{"renamed and not published", 3}, Stage{"old one being deleted", 3});
    CAPTURE(stage.fault);
    const TemporaryDirectory directory;
    const std::string path = directory / "checkpoints";
    for (std::int64_t step : {1, 2}) write_step(path, step);
    die_while_writing(path, 3, stage.fault);

    const auto alone = make_local_collective();
    auto found = load_newest_checkpoint(path, *alone);
    REQUIRE(found.has_value());
    CHECK(found->step == stage.newest);
    CHECK(found->files == files_at(stage.newest));
    CHECK(found->refused.empty());

    // The next one cleans up, and what the machine lost of an unsynced one does not matter.
    for (std::int64_t step : {3, 4}) write_step(path, step);
    found = load_newest_checkpoint(path, *alone);
    CHECK(found->files == files_at(4));
    std::int64_t entries = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
        CHECK(entry.path().extension() != ".tmp");
        ++entries;
    }
    CHECK(entries == 2);
}

TEST_CASE("a checkpoint that is written again has its name at any instant") {
    for (const char* fault : {"agreed on and not renamed", "renamed and not published"}) {
        CAPTURE(fault);
        const TemporaryDirectory directory;
        const std::string path = directory / "checkpoints";
        write_step(path, 1);
        die_while_writing(path, 1, fault);
        const auto found = load_newest_checkpoint(path, *make_local_collective());
        REQUIRE(found.has_value());
        CHECK(found->files == files_at(1));
        write_step(path, 2);
        CHECK_FALSE(std::filesystem::exists(path + "/000001.tmp"));
    }
}

TEST_CASE("a rename that the disk has, and contents that it lost, is passed over") {
    const TemporaryDirectory directory;
    const std::string path = directory / "checkpoints";
    for (std::int64_t step : {1, 2}) write_step(path, step);
    std::filesystem::resize_file(path + "/000002/model.bin", 0);
    const auto found = load_newest_checkpoint(path, *make_local_collective());
    REQUIRE(found.has_value());
    CHECK(found->step == 1);
    REQUIRE(found->refused.size() == 1);
    CHECK(contains(found->refused[0], "000002/model.bin"));
}
