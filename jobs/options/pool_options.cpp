#include "jobs/options/pool_options.hpp"

#include <fmt/format.h>

#include <optional>

#include "jobs/options/numbers.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

namespace thresher::jobs {

void add_pool_options(CLI::App& app, PoolOptions& options, bool required) {
    app.add_option("--pool", options.path, "Pool: an HDF5 file, or a directory of shards")
        ->required(required);
    app.add_option("--inputs", options.paths.inputs, "Dataset of the inputs in a file of your own");
    app.add_option("--targets", options.paths.targets,
                   "Dataset of the targets in a file of your own");
    app.add_option("--classes", options.paths.classes,
                   "Number of classes, where the pool does not say")
        ->check(zero_or_more());
}

std::string describe_datasets(const PoolOptions& options) {
    return fmt::format("{} and {}, {} classes", options.paths.inputs, options.paths.targets,
                       options.paths.classes);
}

void check_same_vocabulary(const ModelSpec& spec, const io::PoolFile& pool,
                           const std::string& path) {
    const bool known = spec.towers && !spec.towers->text_model.empty() &&
                       pool.info().token_length > 0 && pool.has_vocabulary();
    THRESHER_CHECK(
        !known || spec.towers->text_model == pool.vocabulary(),
        "{}: the model reads captions in another vocabulary than that of {}; import with "
        "--vocabulary and the pool that the model was trained on",
        path, pool.info().path);
}

io::PoolFile open_pool(Job& job, const PoolOptions& options) {
    std::optional<io::PoolFile> pool;
    agree(job.collective(), [&] { pool = io::open_pool(options.path, options.paths); });
    return *pool;
}

io::PoolFile open_pool(Job& job, const std::string& path) {
    return open_pool(job, PoolOptions{path, {}});
}

}  // namespace thresher::jobs
