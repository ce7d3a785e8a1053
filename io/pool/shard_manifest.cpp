#include "io/pool/shard_manifest.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/atomic_file.hpp"
#include "io/provenance.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

constexpr const char* kFormat = "thresher-shards";

}  // namespace

ShardManifest read_manifest(const std::string& directory, std::vector<std::string>& problems) {
    const std::string path = directory + "/manifest.json";
    THRESHER_CHECK_AS(FileError, fs::exists(path),
                      "{}: is a directory without manifest.json, so no sharded pool", directory);
    const Json json = Json::parse(read_file(path), nullptr, false);
    THRESHER_CHECK_AS(
        FileError, json.is_object() && json.contains("format") && json["format"] == kFormat,
        "{}: is no manifest of a sharded pool (JSON with \"format\": \"{}\")", path, kFormat);
    ShardManifest manifest;
    try {
        expect_version(path, json.value("format_version", 0.0));
        manifest.classes = json.at("classes").get<std::int64_t>();
        std::int64_t first_row = 0;
        for (const Json& entry : json.at("shards")) {
            ShardEntry shard;
            const auto file = entry.at("file").get<std::string>();
            shard.path = directory + "/" + file;
            shard.first_row = first_row;
            shard.rows = entry.at("rows").get<std::int64_t>();
            shard.bytes = entry.at("bytes").get<std::int64_t>();
            shard.checksum = entry.at("checksum").get<std::string>();
            if (shard.rows < 1) {
                problems.push_back(
                    fmt::format("shard {} has {} rows in manifest.json, at least 1 "
                                "is needed",
                                file, shard.rows));
            }
            std::error_code error;
            const auto size = fs::file_size(shard.path, error);
            if (error) {
                problems.push_back(fmt::format("shard {}: {}", file, error.message()));
            } else if (std::cmp_not_equal(size, shard.bytes)) {
                problems.push_back(fmt::format(
                    "shard {} has {} bytes, manifest.json says {}; it is truncated or not the "
                    "file that was written",
                    file, size, shard.bytes));
            }
            first_row += shard.rows;
            manifest.shards.push_back(std::move(shard));
        }
        if (const auto rows = json.at("rows").get<std::int64_t>(); rows != first_row) {
            problems.push_back(fmt::format("manifest.json says {} rows, its shards add up to {}",
                                           rows, first_row));
        }
    } catch (const Json::exception& error) {
        fail<FileError>("{}: is no manifest of a sharded pool: {}", path, error.what());
    }
    if (manifest.shards.empty()) problems.emplace_back("manifest.json lists no shard");
    return manifest;
}

void write_manifest(const std::string& directory, const ShardManifest& manifest) {
    Json json;
    json["format"] = kFormat;
    json["format_version"] = kFormatVersion;
    json["created_utc"] = utc_now();
    json["producer_version"] = producer_version();
    json["rows"] = manifest.rows();
    json["classes"] = manifest.classes;
    json["shards"] = Json::array();
    for (const ShardEntry& shard : manifest.shards) {
        json["shards"].push_back({{"file", fs::path(shard.path).filename().string()},
                                  {"rows", shard.rows},
                                  {"bytes", shard.bytes},
                                  {"checksum", shard.checksum}});
    }
    write_file(directory + "/manifest.json", json.dump(2) + "\n", Overwrite::yes);
}

}  // namespace thresher::io
