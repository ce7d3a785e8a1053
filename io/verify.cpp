#include "io/verify.hpp"

#include <fmt/ranges.h>

#include <filesystem>
#include <vector>

#include "io/batch_file.hpp"
#include "io/checksum.hpp"
#include "io/hdf5/file.hpp"
#include "io/pool/shard_manifest.hpp"
#include "io/provenance.hpp"
#include "io/run/checkpoint.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace fs = std::filesystem;

std::int64_t verify(const std::string& path) {
    std::vector<std::string> problems;
    std::int64_t compared = 0;
    if (fs::is_directory(path) && fs::exists(path + "/manifest.json")) {
        for (const ShardEntry& shard : read_manifest(path, problems).shards) {
            ++compared;
            if (!fs::exists(shard.path)) continue;  // one of the problems already
            const std::string found = checksum_of_file(shard.path);
            if (found == shard.checksum) continue;
            problems.push_back(fmt::format("{}: has checksum {}, manifest.json says {}", shard.path,
                                           found, shard.checksum));
        }
    } else if (fs::is_directory(path + "/checkpoints")) {
        problems = damaged_checkpoints(path + "/checkpoints", compared);
    } else {
        THRESHER_CHECK_AS(
            FileError,
            fs::is_regular_file(path) && format_of(hdf5::File::open(path)) == "thresher-batch",
            "{}: has no checksums; sharded pools, batches and runs have", path);
        static_cast<void>(read_batch(path));
        ++compared;
    }
    THRESHER_CHECK_AS(FileError, problems.empty(), "{}: is damaged:\n  - {}", path,
                      fmt::join(problems, "\n  - "));
    return compared;
}

}  // namespace thresher::io
