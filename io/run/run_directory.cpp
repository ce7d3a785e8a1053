#include "io/run/run_directory.hpp"

#include <filesystem>

#include "io/atomic_file.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

namespace {

// A directory with any of these holds a run.
constexpr const char* kRunFiles[] = {"run.h5", "checkpoints", "config.toml", "model.pt"};
// What a start that failed leaves.
constexpr const char* kTraces[] = {"log.txt", "status.json"};

void remove(const std::string& path) {
    std::error_code error;
    fs::remove_all(path, error);
    THRESHER_CHECK_AS(FileError, !error, "{}: the earlier run cannot be removed: {}", path,
                      error.message());
}

}  // namespace

RunDirectory::RunDirectory(const std::string& path, RunStart start, Collective& collective)
    : path_(path) {
    agree(collective, [&] {
        if (!collective.is_root()) return;
        THRESHER_CHECK_AS(UsageError, !path_.empty(),
                          "--run is empty; give the directory of the run");
        std::error_code error;
        fs::create_directories(path_, error);
        THRESHER_CHECK_AS(FileError, fs::is_directory(path_),
                          "{}: the run directory cannot be made: {}", path_,
                          error ? error.message() : "something else has this name");
        lock_.emplace_back(file("lock"), "the run directory", "choose another --run");
        for (const char* name : kRunFiles) {
            if (!fs::exists(file(name))) continue;
            THRESHER_CHECK_AS(
                FileError, start != RunStart::fresh,
                "{}: the directory holds a run already ({}); pass --resume to go on with "
                "it, --overwrite to replace it, or choose another --run",
                path_, name);
            if (start == RunStart::overwrite) remove(file(name));
        }
        if (start != RunStart::overwrite) return;
        for (const char* name : kTraces) remove(file(name));
    });
}

void RunDirectory::write_config(const std::string& toml) const {
    write_file(file("config.toml"), toml, Overwrite::yes);
}

}  // namespace thresher::io
