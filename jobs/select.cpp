// thresher select: scores, or predictions, or pool + models, -> batch.h5 and batch.csv.

#include "src/selection/select.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "io/batch_file.hpp"
#include "io/id_set.hpp"
#include "jobs/exclusion.hpp"
#include "jobs/score_source.hpp"
#include "jobs/selector_options.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"

namespace thresher::jobs {

namespace {

struct SelectOptions {
    ScoreSourceOptions source;
    SelectorOptions selector;
    std::int64_t k = 0;
    std::vector<std::string> exclude;
    std::string output;
};

void add_options(CLI::App& app, SelectOptions& options) {
    add_score_source_options(app, options.source, true);
    app.add_option("-k,--k", options.k, "Rows to pick")->required();
    add_selector_options(app, options.selector);
    app.add_flag("--weights", options.selector.weights,
                 "softmax, power, softrank: also write each pick's inclusion probability and "
                 "importance weight");
    app.add_option("--exclude", options.exclude,
                   "Ids never to pick: a batch.h5, a labels.csv or a text file of ids");
    app.add_option("-o,--output", options.output,
                   "Batch file to write; a .csv for people goes beside it")
        ->required();
}

/// The only acquisition there is, where none was named.
std::string chosen_acquisition(const SelectOptions& options, const ShardScores& shard) {
    if (!options.source.acquisitions.empty()) return options.source.acquisitions.front();
    std::vector<std::string> names;
    for (const auto& [name, scores] : shard.scores) names.push_back(name);
    THRESHER_CHECK_AS(UsageError, names.size() == 1,
                      "{} holds the scores of {} acquisitions ({}); say which with --acquisition",
                      options.source.scores, names.size(), fmt::join(names, ", "));
    return names.front();
}

}  // namespace

int run_select(Job& job) {
    SelectOptions options;
    add_options(job.options(), options);
    job.start();
    THRESHER_CHECK_AS(UsageError, options.source.acquisitions.size() <= 1,
                      "select picks by one acquisition, but --acquisition names {}",
                      options.source.acquisitions.size());
    Collective& collective = job.collective();
    const Selector selector = options.selector.selector(
        job.common().seed, static_cast<std::uint32_t>(options.source.round));
    check_selection(options.k, selector);
    job.check_output(options.output,
                     {options.source.scores, options.source.predictions, options.source.pool.path});
    job.check_output(io::csv_path_of_batch(options.output), {});
    const std::vector<std::int64_t> excluded_ids = read_excluded_ids(job, options.exclude);

    const ShardScores shard = load_or_compute_scores(job, options.source);
    const std::string acquisition = chosen_acquisition(options, shard);
    std::vector<std::uint8_t> excluded;
    if (!excluded_ids.empty()) {
        excluded = mark_excluded(collective, excluded_ids, shard,
                                 fmt::format("{}", fmt::join(options.exclude, ", ")));
    }
    const Traffic before = collective.traffic();
    const ScoredRows rows{shard.scores.at(acquisition), shard.rows.begin, shard.ids, excluded};
    Selection selection;
    {
        const auto timer = job.phases().time("select");
        selection = select_rows(collective, rows, options.k, selector);
    }
    const Traffic after = collective.traffic();
    const auto quarantine = gather_reasons(collective, shard.quarantine, selection.quarantined);
    check_bad_rows(collective, quarantine, shard.total_rows, job.max_bad());
    log_quarantine(quarantine);

    agree(collective, [&] {
        if (!job.is_root()) return;
        const auto timer = job.phases().time("write");
        io::Batch batch;
        batch.ids = selection.ids;
        batch.scores = selection.scores;
        if (!options.source.pool.path.empty()) {
            const io::PoolFile pool =
                io::open_pool(options.source.pool.path, options.source.pool.paths);
            THRESHER_CHECK_AS(
                UsageError, pool.info().rows == shard.total_rows,
                "{} has {} rows, but {} scores were read; give the pool that was scored",
                options.source.pool.path, pool.info().rows, shard.total_rows);
            if (pool.info().has_names) batch.names = pool.names_of(batch.ids);
        }
        batch.acquisition = acquisition;
        batch.selector = selector.name;
        if (selector.name != "top-k") batch.beta = selector.beta;
        for (const double p : selection.inclusion) {
            batch.inclusion_probabilities.push_back(p);
            batch.weights.push_back(1.0 / (p * static_cast<double>(selection.selectable)));
        }
        batch.seed = selector.seed;
        batch.round = options.source.round;
        io::write_batch(options.output, batch, job.provenance(shard.input), job.overwrite());
    });
    log::info("picked {} of {} rows by {} ({}), {} quarantined, wrote {}", options.k,
              selection.selectable, acquisition, selector.name, quarantine.size(), options.output);
    nlohmann::json facts{{"rows", shard.total_rows},
                         {"k", options.k},
                         {"selectable", selection.selectable},
                         {"quarantined", quarantine.size()},
                         {"selection_collectives", after.collectives - before.collectives},
                         {"selection_bytes", after.bytes - before.bytes}};
    for (const auto& [role, flops] : shard.flops) facts["flops"][role] = flops;
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
