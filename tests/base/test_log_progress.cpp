#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/progress.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

/// What `work` writes to stderr.
std::string stderr_of(const std::function<void()>& work) {
    std::FILE* file = std::tmpfile();
    REQUIRE(file != nullptr);
    std::fflush(stderr);
    const int saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    work();
    std::fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    std::rewind(file);
    std::string text;
    for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
    std::fclose(file);
    return text;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the log shows rank 0 and the warnings of other ranks", "[log]") {
    const auto lines = [](int rank, bool all_ranks) {
        return stderr_of([&] {
            start_log("info", rank, all_ranks);
            log::debug("a detail");
            log::info("a fact");
            log::warn("a warning");
        });
    };
    const auto root = lines(0, false);
    CHECK(contains(root, "info: a fact"));
    CHECK(contains(root, "warning: a warning"));
    CHECK(!contains(root, "a detail"));
    CHECK(!contains(root, "rank"));
    const auto other = lines(3, false);
    CHECK(!contains(other, "a fact"));
    CHECK(contains(other, "rank 3 warning: a warning"));
    CHECK(contains(lines(3, true), "rank 3 info: a fact"));
    start_log("info", 0, false);
}

TEST_CASE("rank 0's lines go to the log file too", "[log]") {
    const auto path = std::filesystem::temp_directory_path() /
                      ("thresher_log_" + std::to_string(getpid()) + ".txt");
    stderr_of([&] {
        start_log("info", 0, false, path.string());
        log::info("kept");
        start_log("info", 0, false);
    });
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    CHECK(contains(text.str(), "info: kept"));
    std::filesystem::remove(path);
}

TEST_CASE("an unknown log level or progress style is refused with the known ones", "[log]") {
    CHECK_THROWS_WITH(
        start_log("loud", 0, false),
        "--log-level \"loud\" is unknown; allowed: trace, debug, info, warning, error, off");
    CHECK_THROWS_WITH(progress_style("spinner"),
                      "--progress \"spinner\" is unknown; allowed: auto, bar, plain, none");
    CHECK_THROWS_AS(start_log("info", 0, false, "/proc/none/log.txt"), FileError);
}

TEST_CASE("plain progress ends with one line of what was done", "[progress]") {
    const auto text = stderr_of([] {
        Progress progress("scoring", 200, "rows", ProgressStyle::plain, true);
        progress.update(0);
        progress.update(100, "loss 0.7");
        progress.update(200, "loss 0.5");
        progress.finish();
        progress.finish();
    });
    CHECK(contains(text, "scoring: 100 % 200/200 rows"));
    CHECK(contains(text, "loss 0.5\n"));
    CHECK(std::count(text.begin(), text.end(), '\n') == 1);
}

TEST_CASE("a bar is drawn on one line", "[progress]") {
    const auto text = stderr_of([] {
        Progress progress("training", 10, "steps", ProgressStyle::bar, true);
        progress.update(5);
        progress.update(10);
        progress.finish();
    });
    CHECK(contains(text, "\rtraining [########################] 100 % 10/10 steps"));
    CHECK(std::count(text.begin(), text.end(), '\n') == 1);
}

TEST_CASE("ranks that do not draw, and the style none, print nothing", "[progress]") {
    CHECK(stderr_of([] {
              Progress quiet("scoring", 2, "rows", ProgressStyle::none, true);
              quiet.update(2);
              quiet.finish();
              Progress other("scoring", 2, "rows", ProgressStyle::plain, false);
              other.update(2);
              other.finish();
          }).empty());
}
