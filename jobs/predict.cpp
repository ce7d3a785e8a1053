// thresher predict: pool + models + strategy -> predictions.h5.

#include <optional>

#include "io/block_reader.hpp"
#include "io/predictions_file.hpp"
#include "jobs/pool_options.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/strategy/predictor.hpp"
#include "src/strategy/strategy.hpp"

namespace thresher::jobs {

namespace {

struct PredictOptions {
    PoolOptions pool;
    std::string learner, reference, output;
    PredictorOptions predictor;
};

void add_options(CLI::App& app, PredictOptions& options) {
    add_pool_options(app, options.pool, true);
    app.add_option("--learner", options.learner, "Model file of the learner");
    app.add_option("--reference", options.reference, "Model file of the reference");
    app.add_option("--strategy", options.predictor.strategies,
                   "How predictions are made; see thresher list")
        ->delimiter(',');
    app.add_option("--micro-batch", options.predictor.micro_batch,
                   "Rows in one forward pass; 0 = chosen for the model")
        ->check(CLI::NonNegativeNumber);
    app.add_option("-o,--output", options.output, "Predictions file to write")->required();
}

io::PredictionsInfo describe_output(const PredictOptions& options, const PoolInfo& pool,
                                    bool learner, bool reference) {
    io::PredictionsInfo info;
    info.path = options.output;
    info.rows = pool.rows;
    info.has_ids = pool.has_ids;
    info.class_names = pool.class_names;
    info.samples = 1;
    info.classes = pool.classes;
    info.block_rows = pool.block_rows;
    for (const std::string& name : options.predictor.strategies) {
        info.strategy += (info.strategy.empty() ? "" : ",") + name;
        if (name == "deterministic") info.output_kind = io::OutputKind::log_probs;
        if (name == "loss" && learner) info.loss_roles.emplace_back("learner");
        if (name == "loss" && reference) info.loss_roles.emplace_back("reference");
    }
    return info;
}

}  // namespace

int run_predict(Job& job) {
    PredictOptions options;
    add_options(job.options(), options);
    job.start();
    THRESHER_CHECK_AS(UsageError, !options.learner.empty() || !options.reference.empty(),
                      "no model was given; give --learner FILE, --reference FILE or both");
    Collective& collective = job.collective();
    job.check_output(options.output, {options.pool.path});
    const io::PoolFile pool = open_pool(job, options.pool);
    std::unique_ptr<Model> learner, reference;
    std::optional<Predictor> predictor;
    agree(collective, [&] {
        if (!options.learner.empty())
            learner = load_model(options.learner, pool.info(), job.device());
        if (!options.reference.empty())
            reference = load_model(options.reference, pool.info(), job.device());
        predictor.emplace(ModelRoles{learner.get(), reference.get()}, pool.info(),
                          options.predictor);
    });
    io::PredictionsWriter writer(
        describe_output(options, pool.info(), learner != nullptr, reference != nullptr),
        job.provenance(options.pool.path), job.overwrite(), collective, job.shared_files());
    std::vector<QuarantinedRow> quarantine;
    agree(collective, [&] {
        const auto source = io::make_block_reader(pool, collective.rank(), collective.size());
        const auto progress = job.progress("predict", source->owned_rows().size(), "rows");
        Predictions predictions;
        Block block;
        while (source->next(block)) {
            {
                const auto timer = job.phases().time("predict");
                predictor->predict(block, predictions);
            }
            const auto timer = job.phases().time("write");
            io::PredictionBlock out{
                block.rows,
                pool.info().has_ids ? block.ids : std::span<const std::int64_t>{},
                predictions.log_probs,
                {},
                {}};
            for (const auto& [role, losses] : predictions.losses) out.losses[role] = losses;
            writer.write(out);
            quarantine.insert(quarantine.end(), predictions.quarantined.begin(),
                              predictions.quarantined.end());
            progress->update(block.rows.end - source->owned_rows().begin);
        }
        progress->finish();
        job.phases().add("wait", source->seconds_waiting());
    });
    const auto all_bad = gather_quarantine(collective, quarantine);
    check_bad_rows(collective, quarantine, pool.info().rows, job.max_bad());
    log_quarantine(all_bad);
    {
        const auto timer = job.phases().time("write");
        writer.finish(quarantine);
    }
    log::info("predicted {} rows, {} quarantined, wrote {}", pool.info().rows, all_bad.size(),
              options.output);
    nlohmann::json facts{{"rows", pool.info().rows}, {"quarantined", all_bad.size()}};
    for (const auto& [role, flops] : predictor->flops()) facts["flops"][role] = flops;
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
