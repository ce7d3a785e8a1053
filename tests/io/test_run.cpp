#include <sys/wait.h>

#include "io/atomic_file.hpp"
#include "io/run/run_directory.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

TEST_CASE("two jobs on one run directory: the second is told who holds it") {
    const TemporaryDirectory directory;
    const auto alone = make_local_collective();
    const std::string path = directory / "runs/first";
    {
        const RunDirectory run(path, RunStart::fresh, *alone);
        const std::string message =
            message_of([&] { RunDirectory second(path, RunStart::resume, *alone); });
        CHECK(contains(message, "in use by process " + std::to_string(getpid()) + " on host"));
    }
    const RunDirectory after(path, RunStart::fresh, *alone);
    CHECK(after.file("x") == path + "/x");
}

TEST_CASE("the lock of a dead process is taken over") {
    const TemporaryDirectory directory;
    const pid_t child = fork();
    if (child == 0) {
        new FileLock(directory / "lock", "the run",
                     "go elsewhere");  // never released: the process ends with it
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(contains(read_file(directory / "lock"), fmt::format(" {}", child)));
    FileLock lock(directory / "lock", "the run", "go elsewhere");
    CHECK(contains(read_file(directory / "lock"), fmt::format(" {}", getpid())));
    CHECK(contains(message_of([&] { FileLock(directory / "lock", "the run", "go elsewhere"); }),
                   "the run is in use by process " + std::to_string(getpid()) + " on host"));
    lock.remove();
    CHECK_FALSE(std::filesystem::exists(directory / "lock"));
    const FileLock again(directory / "lock", "the run", "go elsewhere");
}

TEST_CASE("a directory that holds a run is refused unless resumed or overwritten") {
    const TemporaryDirectory directory;
    const auto alone = make_local_collective();
    const std::string path = directory / "run";
    RunDirectory(path, RunStart::fresh, *alone).write_config("seed = 1\n");
    CHECK(contains(message_of([&] { RunDirectory again(path, RunStart::fresh, *alone); }),
                   "--resume"));
    { const RunDirectory resumed(path, RunStart::resume, *alone); }
    CHECK(read_file(path + "/config.toml") == "seed = 1\n");
    const RunDirectory replaced(path, RunStart::overwrite, *alone);
    CHECK_FALSE(std::filesystem::exists(path + "/config.toml"));
}

TEST_CASE("a run directory that cannot be made is a clear error") {
    const TemporaryDirectory directory;
    const auto alone = make_local_collective();
    write_file(directory / "file", "x", Overwrite::no);
    const std::string message =
        message_of([&] { RunDirectory run(directory / "file", RunStart::fresh, *alone); });
    CHECK(contains(message, directory / "file"));
    CHECK(contains(message, "the run directory cannot be made"));
}

TEST_CASE("curves, batches and the ledger read back") {
    const TemporaryDirectory directory;
    RunRecord record;
    record.curves["train_loss"] = {{3}, {2.5, 1.25, 0.5}, "loss of each epoch", "nat"};
    record.curves["entropy/test_accuracy"] = {{2, 3}, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6}, "", ""};
    record.batches["0"] = {5, 3};
    record.batches["entropy/1/0"] = {9};
    record.ledger["seconds/read"] = 1.5;
    record.ledger["flops/learner"] = 1e18;
    write_run(directory / "run.h5", record, {});
    write_run(directory / "run.h5", record, {});  // replaces the first
    const RunRecord found = read_run(directory / "run.h5");
    CHECK(found.curves.size() == 2);
    CHECK(found.curves.at("train_loss").values == record.curves["train_loss"].values);
    CHECK(found.curves.at("train_loss").unit == "nat");
    CHECK(found.curves.at("entropy/test_accuracy").shape == std::vector<std::int64_t>{2, 3});
    CHECK(found.batches == record.batches);
    CHECK(found.ledger == record.ledger);
}
