// thresher predict: pool + models + strategies -> predictions.h5.

#include <fmt/ranges.h>

#include "io/pool/block_reader.hpp"
#include "io/predictions/predictions_file.hpp"
#include "jobs/options/pool_options.hpp"
#include "jobs/options/strategy_options.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/pool/block_slices.hpp"
#include "src/strategy/strategy.hpp"

namespace thresher::jobs {

namespace {

struct PredictOptions {
    PoolOptions pool;
    StrategyOptions strategy;
    std::string output;
};

void add_options(CLI::App& app, PredictOptions& options) {
    add_pool_options(app, options.pool, true);
    add_strategy_options(app, options.strategy);
    app.add_option("-o,--output", options.output, "Predictions file to write")->required();
}

/// Refuses strategies of which nothing would come.
void check_makes_predictions(const std::vector<std::string>& chosen) {
    std::vector<std::string_view> fruitful;
    for (const StrategyInfo& strategy : strategies()) {
        if (!strategy.produces.empty()) fruitful.push_back(strategy.name);
    }
    for (const std::string& name : chosen) {
        THRESHER_CHECK_AS(UsageError, !find_strategy(name).produces.empty(),
                          "strategy {} makes no predictions, so there is nothing to write; "
                          "strategies that make some: {}",
                          name, fmt::join(fruitful, ", "));
    }
}

io::PredictionsInfo describe_output(const PredictOptions& options, const PoolInfo& pool,
                                    const PredictionsShape& shape) {
    io::PredictionsInfo info;
    info.path = options.output;
    info.rows = pool.rows;
    info.has_ids = pool.has_ids;
    if (shape.samples > 0) info.output_kind = io::OutputKind::log_probs;
    info.samples = shape.samples;
    info.classes = shape.classes;
    if (std::cmp_equal(pool.class_names.size(), shape.classes)) info.class_names = pool.class_names;
    info.embedding_size = shape.embedding_size;
    info.loss_roles = shape.loss_roles;
    info.boxes = shape.boxes;
    info.block_rows = pool.block_rows;
    info.consistent_samples = shape.consistent_samples;
    info.strategy = fmt::format("{}", fmt::join(options.strategy.predictor.strategies, ","));
    return info;
}

}  // namespace

int run_predict(Job& job) {
    PredictOptions options;
    add_options(job.options(), options);
    job.start();
    check_makes_predictions(options.strategy.predictor.strategies);
    THRESHER_CHECK_AS(
        UsageError, options.strategy.has_models(),
        "no model was given; give --learner, --reference, --online or --ensemble a file");
    Collective& collective = job.collective();
    job.check_output(options.output);
    const io::PoolFile pool = open_pool(job, options.pool);
    std::unique_ptr<Predictor> predictor;
    agree(collective, [&] { predictor = make_predictor(job, options.strategy, pool); });
    io::PredictionsWriter writer(describe_output(options, pool.info(), predictor->shape()),
                                 job.provenance(options.pool.path), job.overwrite(), collective,
                                 job.shared_files());
    std::vector<QuarantinedRow> quarantine;
    agree(collective, [&] {
        const auto source =
            slice_blocks(io::make_block_reader(pool, collective.rank(), collective.size()),
                         predictor->shape().bytes_per_row());
        const auto progress =
            job.progress(job.of_this_rank("predict"), source->owned_rows().size(), "rows");
        Predictions predictions;
        Block block;
        while (source->next(block)) {
            give_up_if_others_failed(collective);
            {
                const auto timer = job.phases().time("predict");
                predictor->predict(block, predictions);
            }
            const auto timer = job.phases().time("write");
            io::PredictionBlock out{
                block.rows,
                pool.info().has_ids ? block.ids : std::span<const std::int64_t>{},
                predictions.log_probs,
                predictions.embeddings,
                {},
                predictions.found()};
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
    for (const auto& [role, flops] : sum_flops(collective, predictor->flops())) {
        facts["flops"][role] = flops;
    }
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
