#include <atomic>

#include "io/atomic_file.hpp"
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
            {"state.json", "{\"step\": " + std::to_string(step) + "}"},
            {"empty", ""}};
}

void write_steps(const std::string& directory, Collective& collective, std::int64_t count) {
    for (std::int64_t step = 0; step < count; ++step) {
        write_checkpoint(directory, step, collective, [&] { return files_at(step); });
    }
}

}  // namespace

TEST_CASE("the newest checkpoint comes back on every rank, and the last two are kept") {
    const TemporaryDirectory directory;
    for (int ranks : {1, 2, 3}) {
        const std::string path = directory / std::to_string(ranks);
        run_simulated_ranks(ranks, [&](Collective& collective) {
            write_steps(path, collective, 4);
            const auto found = load_newest_checkpoint(path, collective);
            if (!found || found->step != 3 || found->files != files_at(3)) {
                fail("rank {} got another checkpoint", collective.rank());
            }
        });
        CHECK(std::filesystem::exists(path + "/000002/manifest.json"));
        CHECK_FALSE(std::filesystem::exists(path + "/000001"));
    }
}

TEST_CASE("a damaged checkpoint is passed over, with the reason") {
    const TemporaryDirectory directory;
    const auto alone = make_local_collective();
    const std::string path = directory / "checkpoints";
    CHECK_FALSE(load_newest_checkpoint(path, *alone).has_value());
    write_steps(path, *alone, 3);
    SECTION("a changed byte") {
        write_file_synced(path + "/000002/model.bin", std::string(1000, 'z'));
    }
    SECTION("a truncated file") { write_file_synced(path + "/000002/model.bin", "c"); }
    SECTION("a missing file") { std::filesystem::remove(path + "/000002/model.bin"); }
    SECTION("a manifest that is no JSON") {
        write_file_synced(path + "/000002/manifest.json", "{");
    }
    SECTION("a manifest with words for numbers") {
        write_file_synced(
            path + "/000002/manifest.json",
            R"({"format": "thresher-checkpoint", "format_version": "x", "files": []})");
    }
    const auto found = load_newest_checkpoint(path, *alone);
    REQUIRE(found.has_value());
    CHECK(found->step == 1);
    CHECK(found->files == files_at(1));
    REQUIRE(found->refused.size() == 1);
    CHECK(contains(found->refused[0], "000002/"));
    std::filesystem::remove(path + "/000001/state.json");
    CHECK(contains(message_of([&] { load_newest_checkpoint(path, *alone); }),
                   "no checkpoint is whole"));
}

TEST_CASE("a checkpoint being written when the job dies does not count") {
    const TemporaryDirectory directory;
    const auto alone = make_local_collective();
    const std::string path = directory / "checkpoints";
    write_steps(path, *alone, 2);
    std::filesystem::create_directory(path + "/000002.tmp");
    write_file_synced(path + "/000002.tmp/model.bin", "half");
    CHECK(load_newest_checkpoint(path, *alone)->step == 1);
    write_checkpoint(path, 2, *alone, [] { return files_at(2); });
    CHECK(load_newest_checkpoint(path, *alone)->files == files_at(2));
}

TEST_CASE("an error while a checkpoint is made reaches all ranks and leaves the old ones") {
    const TemporaryDirectory directory;
    const std::string path = directory / "checkpoints";
    std::atomic<int> refused{0};
    run_simulated_ranks(2, [&](Collective& collective) {
        write_steps(path, collective, 1);
        try {
            write_checkpoint(path, 1, collective, []() -> CheckpointFiles {
                fail<FileError>("no memory for the state");
            });
        } catch (const FileError&) {
            ++refused;
        }
    });
    CHECK(refused == 2);
    CHECK(std::filesystem::exists(path + "/000000"));
    CHECK_FALSE(std::filesystem::exists(path + "/000001.tmp"));
}
