#include "io/run/checkpoint.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/atomic_file.hpp"
#include "io/checksum.hpp"
#include "io/descriptor.hpp"
#include "io/provenance.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/fault_point.hpp"
#include "src/base/log.hpp"
#include "src/base/text.hpp"

namespace thresher::io {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

constexpr std::size_t kKept = 2;

std::string path_of(const std::string& directory, std::int64_t step) {
    return fmt::format("{}/{:06}", directory, step);
}

/// Steps of the checkpoints in `directory`, newest first.
std::vector<std::int64_t> steps_in(const std::string& directory) {
    std::vector<std::int64_t> steps;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
        const std::string name = entry.path().filename().string();
        if (name.size() >= 6 && name.size() <= 18 &&
            name.find_first_not_of("0123456789") == std::string::npos) {
            steps.push_back(std::stoll(name));
        }
    }
    std::sort(steps.rbegin(), steps.rend());
    return steps;
}

void write_aside(const std::string& aside, std::int64_t step, const CheckpointFiles& files) {
    THRESHER_FAULT_POINT("before writing");
    std::error_code error;
    fs::remove_all(aside, error);
    fs::create_directories(aside, error);
    THRESHER_CHECK_AS(FileError, fs::is_directory(aside), "{}: the directory cannot be made: {}",
                      aside, error.message());
    Json manifest;
    manifest["format"] = "thresher-checkpoint";
    manifest["format_version"] = kFormatVersion;
    manifest["step"] = step;
    manifest["files"] = Json::array();
    for (const auto& [name, bytes] : files) {
        THRESHER_CHECK(name.find('/') == std::string::npos && name != "manifest.json",
                       "{}: a file of a checkpoint cannot be called {}", aside, name);
        write_file_synced(aside + "/" + name, bytes);
        THRESHER_FAULT_POINT("half written");
        manifest["files"].push_back(
            {{"file", name}, {"bytes", bytes.size()}, {"checksum", checksum_of_bytes(bytes)}});
    }
    write_file_synced(aside + "/manifest.json", manifest.dump(2) + "\n");
    THRESHER_FAULT_POINT("written and not synced");
    sync_directory(aside);
}

void remove_quietly(const std::string& path) {
    std::error_code ignored;
    fs::remove_all(path, ignored);
}

/// Gives `aside` the name `path`. Where there is a checkpoint of this step already, the two are
/// exchanged, so that there is a whole one with this name at any instant.
void publish(const std::string& aside, const std::string& path) {
    const auto rename = [&] { return std::rename(aside.c_str(), path.c_str()) == 0 ? 0 : errno; };
    int reason = rename();
    if (reason != 0 && fs::exists(path)) {
        reason = 0;
        if (renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) != 0) {
            remove_quietly(path);  // this file system cannot exchange
            reason = rename();
        }
    }
    THRESHER_CHECK_AS(FileError, reason == 0, "{}: the checkpoint cannot be renamed to {}: {}",
                      aside, path, std::strerror(reason));
}

CheckpointFiles read_checked(const std::string& path) {
    const Json manifest = Json::parse(read_file(path + "/manifest.json"), nullptr, false);
    THRESHER_CHECK_AS(FileError, manifest.is_object() && manifest.contains("files"),
                      "{}/manifest.json: is damaged", path);
    CheckpointFiles files;
    try {
        expect_version(path + "/manifest.json", manifest.value("format_version", 0.0));
        for (const Json& entry : manifest.at("files")) {
            const auto name = entry.at("file").get<std::string>();
            std::string bytes = read_file(path + "/" + name);
            THRESHER_CHECK_AS(FileError,
                              checksum_of_bytes(bytes) == entry.at("checksum").get<std::string>(),
                              "{}/{}: has {} bytes that do not match the checksum in manifest.json",
                              path, name, bytes.size());
            files.emplace(name, std::move(bytes));
        }
    } catch (const Json::exception& error) {
        fail<FileError>("{}/manifest.json: is damaged: {}", path, error.what());
    }
    return files;
}

/// What jobs that were killed while they wrote have left behind.
void remove_unfinished(const std::string& directory) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(directory, ignored)) {
        if (entry.path().extension() == ".tmp") remove_quietly(entry.path().string());
    }
}

}  // namespace

void write_checkpoint(const std::string& directory, std::int64_t step, Collective& collective,
                      const std::function<CheckpointFiles()>& files) {
    const std::string path = path_of(directory, step), aside = path + ".tmp";
    try {
        agree(collective, [&] {
            if (collective.is_root()) write_aside(aside, step, files());
        });
    } catch (...) {
        if (collective.is_root()) remove_quietly(aside);
        throw;
    }
    // Every rank has come this far with this step; only now does the checkpoint count.
    agree(collective, [&] {
        if (!collective.is_root()) return;
        THRESHER_FAULT_POINT("agreed on and not renamed");
        publish(aside, path);
        THRESHER_FAULT_POINT("renamed and not published");
        sync_directory(directory);
        const std::vector<std::int64_t> steps = steps_in(directory);
        for (std::size_t i = kKept; i < steps.size(); ++i) {
            // A name of its own first, so that what is half deleted has none of a checkpoint.
            const std::string old = path_of(directory, steps[i]);
            std::rename(old.c_str(), (old + ".tmp").c_str());
            THRESHER_FAULT_POINT("old one being deleted");
        }
        remove_unfinished(directory);
    });
}

std::vector<std::string> damaged_checkpoints(const std::string& directory, std::int64_t& compared) {
    std::vector<std::string> problems;
    for (const std::int64_t step : steps_in(directory)) {
        ++compared;
        try {
            static_cast<void>(read_checked(path_of(directory, step)));
        } catch (const FileError& error) {
            problems.emplace_back(error.what());
        }
    }
    return problems;
}

std::optional<Checkpoint> load_newest_checkpoint(const std::string& directory,
                                                 Collective& collective) {
    Checkpoint found;
    found.step = -1;
    agree(collective, [&] {
        if (!collective.is_root()) return;
        for (std::int64_t step : steps_in(directory)) {
            try {
                found.files = read_checked(path_of(directory, step));
                found.step = step;
                break;
            } catch (const FileError& error) {
                log::warn("checkpoint passed over: {}", error.what());
                found.refused.emplace_back(error.what());
            }
        }
        THRESHER_CHECK_AS(FileError, found.step >= 0 || found.refused.empty(),
                          "{}: no checkpoint is whole:\n  - {}", directory,
                          fmt::join(found.refused, "\n  - "));
    });
    collective.broadcast(std::span(&found.step, 1));
    if (found.step < 0) return std::nullopt;
    found.path = path_of(directory, found.step);
    auto count = static_cast<std::int64_t>(found.files.size());
    collective.broadcast(std::span(&count, 1));
    auto file = found.files.begin();
    for (std::int64_t i = 0; i < count; ++i) {
        std::string name = broadcast_text(collective, collective.is_root() ? file->first : "");
        std::string bytes =
            broadcast_text(collective, collective.is_root() ? std::move(file->second) : "");
        if (collective.is_root()) {
            (file++)->second = std::move(bytes);
        } else {
            found.files.emplace(std::move(name), std::move(bytes));
        }
    }
    return found;
}

}  // namespace thresher::io
