#include "io/run/run_status.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/atomic_file.hpp"
#include "io/provenance.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

using Json = nlohmann::ordered_json;

void write_run_status(const std::string& path, const RunStatus& status) {
    Json json;
    json["format"] = "thresher-status";
    json["format_version"] = kFormatVersion;
    json["parts"] = Json::array();
    for (const RunPart& part : status.parts) {
        json["parts"].push_back({{"command_line", part.command_line},
                                 {"host", part.host},
                                 {"process", part.process},
                                 {"slurm_job", part.slurm_job},
                                 {"ranks", part.ranks},
                                 {"started_utc", part.started_utc},
                                 {"ended_utc", part.ended_utc},
                                 {"exit_code", part.exit_code},
                                 {"message", part.message}});
    }
    const RunProgress& progress = status.progress;
    json["progress"] = {{"title", progress.title},   {"unit", progress.unit},
                        {"note", progress.note},     {"done", progress.done},
                        {"total", progress.total},   {"rate", progress.rate},
                        {"at_utc", progress.at_utc}, {"part", progress.part}};
    const std::string temporary = temporary_path(path);
    std::ofstream file(temporary, std::ios::trunc);
    // An error's text may quote bytes of a file that are no UTF-8.
    file << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
    file.close();
    THRESHER_CHECK_AS(FileError, file && std::rename(temporary.c_str(), path.c_str()) == 0,
                      "{}: cannot be written: {}", path, std::strerror(errno));
}

RunStatus read_run_status(const std::string& path) {
    const Json json = Json::parse(read_file(path), nullptr, false);
    THRESHER_CHECK_AS(FileError, json.is_object() && json.contains("parts"), "{}: is damaged",
                      path);
    RunStatus status;
    try {
        expect_version(path, json.value("format_version", 0.0));
        for (const Json& entry : json.at("parts")) {
            RunPart part;
            part.command_line = entry.at("command_line");
            part.host = entry.at("host");
            part.process = entry.at("process");
            THRESHER_CHECK_AS(FileError, part.process > 0,
                              "{}: is damaged: a part has process {}, allowed: 1 and more", path,
                              part.process);
            part.slurm_job = entry.at("slurm_job");
            part.ranks = entry.at("ranks");
            part.started_utc = entry.at("started_utc");
            part.ended_utc = entry.at("ended_utc");
            part.exit_code = entry.at("exit_code");
            part.message = entry.at("message");
            status.parts.push_back(std::move(part));
        }
        const Json& entry = json.at("progress");
        RunProgress& progress = status.progress;
        progress.title = entry.at("title");
        progress.unit = entry.at("unit");
        progress.note = entry.at("note");
        progress.done = entry.at("done");
        progress.total = entry.at("total");
        progress.rate = entry.at("rate");
        progress.at_utc = entry.at("at_utc");
        progress.part = entry.value("part", std::int64_t{0});
    } catch (const Json::exception& error) {
        fail<FileError>("{}: is damaged: {}", path, error.what());
    }
    return status;
}

}  // namespace thresher::io
