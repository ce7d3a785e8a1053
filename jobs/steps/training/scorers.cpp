#include "jobs/steps/training/scorers.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "io/checksum.hpp"
#include "io/predictions/predictions_file.hpp"
#include "io/run/run_directory.hpp"
#include "jobs/options/pool_options.hpp"
#include "src/base/check.hpp"

namespace thresher::jobs {

namespace {

/// Seeds of models that are made here, apart from each other and from the learner's.
constexpr std::uint64_t kOnlineSeed = 0x6f6e6c696e65, kReferenceSeed = 0x7265666572656e;

/// A new model such as --online says or, where it says nothing, such as the reference.
std::unique_ptr<Model> make_online(const MethodOptions& options, const Model* reference,
                                   const PoolInfo& pool, std::uint64_t seed,
                                   const std::string& device) {
    if (options.online.empty()) {
        THRESHER_CHECK_AS(
            UsageError, reference != nullptr && is_built_in_model(reference->spec().name),
            "no online model can be made such as the reference{}; give --online (a built-in model, "
            "a model file, or learner)",
            reference == nullptr ? ", of which there are only losses"
                                 : ", a TorchScript file, from scratch");
        return make_model(reference->spec(), seed, device);
    }
    const std::filesystem::path path(options.online);
    if (!is_built_in_model(options.online) &&
        (path.extension() == ".pt" || std::filesystem::exists(path))) {
        return load_model(options.online, pool, device);
    }
    ModelSpec spec = spec_for_pool(options.online, pool);
    if (!options.online_hidden.empty()) spec.hidden = options.online_hidden;
    options.online_towers.apply(spec);
    return make_model(spec, seed, device);
}

/// /losses/reference of a predictions file of this pool, by row.
std::vector<float> read_reference_losses(const std::string& path, const io::PoolFile& pool) {
    const auto reader = io::open_predictions(path, 0, 1);
    const io::PredictionsInfo& info = reader->info();
    THRESHER_CHECK_AS(
        FileError,
        std::find(info.loss_roles.begin(), info.loss_roles.end(), "reference") !=
            info.loss_roles.end(),
        "{} has no /losses/reference; thresher predict --strategy loss --reference FILE makes them",
        path);
    THRESHER_CHECK_AS(FileError, info.rows == pool.info().rows,
                      "{} has {} rows, but {} has {}; predict on this pool", path, info.rows,
                      pool.info().path, pool.info().rows);
    std::vector<float> losses;
    std::vector<std::int64_t> ids;
    for (io::PredictionBlock block; reader->next(block);) {
        ids.resize(block.ids.size());
        pool.read_ids(block.rows, ids);
        const auto other = std::mismatch(ids.begin(), ids.end(), block.ids.begin());
        THRESHER_CHECK_AS(FileError, other.first == ids.end(),
                          "{}: row {} has id {}, but {} in {}; predict on this pool", path,
                          block.rows.begin + (other.first - ids.begin()), *other.second,
                          *other.first, pool.info().path);
        const auto& part = block.losses.at("reference");
        losses.insert(losses.end(), part.begin(), part.end());
    }
    return losses;
}

}  // namespace

LoadedScorers load_scorers(const MethodOptions& options, const io::PoolFile& pool,
                           std::span<const std::int64_t> rows, std::uint64_t seed,
                           const std::string& device) {
    LoadedScorers scorers;
    const Method& method = options.chosen();
    if (!needs_online(method) && !needs_reference(method)) return scorers;
    const PoolInfo& info = pool.info();
    if (needs_reference(method) && options.trains_reference()) {
        scorers.reference = make_online(options, nullptr, info, seed ^ kReferenceSeed, device);
        scorers.train_reference = true;
    } else if (!options.reference.empty() && !options.trains_reference()) {
        scorers.reference = load_model(options.reference, info, device);
        check_same_vocabulary(scorers.reference->spec(), pool, options.reference);
    }
    if (needs_online(method) && !options.learner_scores()) {
        scorers.online =
            make_online(options, scorers.reference.get(), info, seed ^ kOnlineSeed, device);
        check_same_vocabulary(scorers.online->spec(), pool, options.online);
    }
    if (!needs_reference(method)) {
        scorers.reference.reset();
        return scorers;
    }
    if (scorers.reference && !scorers.train_reference) {
        scorers.reference = scorers.reference->scoring_form();
    }
    if (!options.reference_losses.empty()) {
        scorers.reference_losses = read_reference_losses(options.reference_losses, pool);
        if (rows.empty()) return scorers;
        std::vector<float> of_rows;
        for (const std::int64_t row : rows) {
            of_rows.push_back(scorers.reference_losses[static_cast<std::size_t>(row)]);
        }
        scorers.reference_losses = std::move(of_rows);
    }
    return scorers;
}

std::map<std::string, std::string> describe_scorers(const MethodOptions& options,
                                                    const LoadedScorers& scorers) {
    std::map<std::string, std::string> settings;
    if (scorers.online) settings["online"] = to_json(scorers.online->spec());
    if (options.learner_scores()) settings["online"] = "learner";
    if (scorers.train_reference) {
        settings["reference"] = "online";
    } else if (scorers.reference) {
        settings["reference"] = io::inputs_checksum(options.reference);
    } else if (!scorers.reference_losses.empty()) {
        settings["reference"] = io::inputs_checksum(options.reference_losses);
    }
    return settings;
}

double training_flops_of(const std::string& path) {
    const auto run = std::filesystem::path(path).parent_path() / "run.h5";
    if (!std::filesystem::exists(run)) return -1.0;
    try {
        double flops = 0.0;
        for (const auto& [name, value] : io::read_run(run.string()).ledger) {
            if (name.rfind("flops/", 0) == 0) flops += value;
        }
        return flops > 0.0 ? flops : -1.0;
    } catch (const FileError&) {
        return -1.0;  // a run of something else, or none
    }
}

}  // namespace thresher::jobs
