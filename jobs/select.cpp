// thresher select: scores, or predictions, or pool + models, -> batch.h5 and batch.csv.

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "io/batch_file.hpp"
#include "jobs/options/numbers.hpp"
#include "jobs/select.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"

namespace thresher::jobs {

void add_select_options(CLI::App& app, SelectOptions& options) {
    add_score_source_options(app, options.source, true);
    app.add_option("-k,--k", options.k, "Rows to pick");
    app.add_option("--budget", options.choice.budget,
                   "Instead of -k: pick by score per cost, as much as this allows")
        ->check(zero_or_more());
    app.add_option("--cost", options.choice.cost,
                   "Dataset of the pool's file: what each row costs");
    add_choice_options(app, options.choice);
    app.add_flag("--weights", options.choice.selector.weights,
                 "softmax, power, softrank: also write each pick's inclusion probability and "
                 "importance weight");
    app.add_option("--exclude", options.exclude,
                   "Ids never to pick: a batch.h5, a labels.csv or a text file of ids");
    app.add_option("--export", options.exports,
                   "Also write the batch for labelling tools: label-studio, label-studio-config, "
                   "cvat, images")
        ->delimiter(',');
    app.add_option("--class-names", options.tasks.class_names,
                   "--export: the classes to choose from, where the pool does not name them")
        ->delimiter(',');
    app.add_option("--image-prefix", options.tasks.image_prefix,
                   "--export label-studio: put before each name, to make what the tool fetches");
    app.add_option("-o,--output", options.output,
                   "Batch file to write; a .csv for people goes beside it");
}

namespace {

void check_options(const SelectOptions& options) {
    const ScoreSourceOptions& source = options.source;
    THRESHER_CHECK_AS(UsageError, source.acquisitions.size() <= 1,
                      "select picks by one acquisition, but --acquisition names {}",
                      source.acquisitions.size());
    THRESHER_CHECK_AS(UsageError, !source.acquisitions.empty() || !source.scores.empty(),
                      "--acquisition is missing; thresher list acquisitions shows the known ones");
    if (source.scores.empty()) {
        check_choice(options.choice, source.acquisitions.front(), options.k);
        warn_of_unread(options.choice, source.acquisitions);
        return check_aggregation(options.choice.aggregate,
                                 needs_of_choice(options.choice, source.acquisitions.front()));
    }
    check_aggregation(options.choice.aggregate, {});  // of scores that are there already
    THRESHER_CHECK_AS(
        UsageError, source.predictions.empty(),
        "--scores and --predictions were both given; scores are read from one of them");
    THRESHER_CHECK_AS(UsageError, !source.strategy.has_models(),
                      "models score a pool, but --scores was given; leave out one or the other");
    THRESHER_CHECK_AS(UsageError, options.choice.candidates == 0,
                      "--candidates narrows what a joint acquisition picks from; scores are there "
                      "already: leave it out");
    THRESHER_CHECK_AS(UsageError, options.choice.balance == "none",
                      "--balance needs to know classes, and --scores holds none; give "
                      "--predictions, or --pool with models");
    check_share(options.choice, options.k);
    warn_of_unread(options.choice, {});
}

/// The only acquisition in a scores file, where none was named.
std::string only_acquisition(const std::string& path, const ShardScores& shard) {
    std::vector<std::string> names;
    for (const auto& [name, scores] : shard.scores) names.push_back(name);
    THRESHER_CHECK_AS(UsageError, names.size() == 1,
                      "{} holds the scores of {} acquisitions ({}); say which with --acquisition",
                      path, names.size(), fmt::join(names, ", "));
    return names.front();
}

/// What may not be picked: what was excluded, and what is labelled.
struct Marks {
    std::vector<std::uint8_t> labelled, excluded;
};

Marks mark_rows(Job& job, const SelectOptions& options, const OwnRows& own) {
    const std::vector<std::int64_t> labelled = read_ids(job, options.source.labelled);
    std::vector<std::int64_t> excluded = read_ids(job, options.exclude);
    excluded.insert(excluded.end(), labelled.begin(), labelled.end());
    Marks marks;
    marks.labelled = mark_ids(job.collective(), labelled, own,
                              fmt::format("{}", fmt::join(options.source.labelled, ", ")));
    marks.excluded = mark_ids(job.collective(), excluded, own,
                              fmt::format("{}", fmt::join(options.exclude, ", ")));
    return marks;
}

/// What was picked, and from what.
struct Outcome {
    Choice choice;
    std::string acquisition;
    std::int64_t total_rows = 0;
    std::map<std::string, double> flops;  ///< by role
};

Outcome choose_from_scores(Job& job, const SelectOptions& options, std::uint32_t round) {
    const ScoreSourceOptions& source = options.source;
    warn_without_models(job, source.scores);
    const ShardScores shard = read_scores(job, source.scores, source.pool, source.acquisitions);
    const std::string acquisition = source.acquisitions.empty()
                                        ? only_acquisition(source.scores, shard)
                                        : source.acquisitions.front();
    const Marks marks = mark_rows(job, options, shard.own());
    return {
        choose_by_scores(job, shard, options.choice, acquisition, options.k, round, marks.excluded),
        acquisition,
        shard.total_rows,
        {}};
}

Outcome choose_from_stream(Job& job, const SelectOptions& options, std::uint32_t round) {
    const ScoreSourceOptions& source = options.source;
    const std::string& acquisition = source.acquisitions.front();
    const auto needs = needs_of_choice(options.choice, acquisition);
    const auto stream = open_stream(job, source, needs);
    const auto target = open_target_stream(job, source, needs);
    check_costs(job, options.choice, stream->total_rows());
    check_policy(job, options.choice, acquisition);
    const Marks marks = mark_rows(job, options, {stream->owned_rows(), stream->ids()});
    Choice choice =
        choose(job, *stream, options.choice, acquisition, options.k, round, marks.excluded,
               {marks.labelled, target.get(), options.choice.aggregate.aggregation()});
    return {std::move(choice), acquisition, stream->total_rows(),
            sum_flops(job.collective(), stream->flops())};
}

io::Batch make_batch(const SelectOptions& options, const Outcome& outcome,
                     const Selector& selector) {
    const Selection& selection = outcome.choice.selection;
    const bool jointly = options.source.scores.empty() && picks_jointly(outcome.acquisition);
    io::Batch batch = describe_batch(options.choice, outcome.acquisition, selector, jointly);
    if (options.source.scores.empty() && !jointly &&
        find_acquisition(outcome.acquisition).reads("boxes")) {
        batch.settings["aggregate"] = options.choice.aggregate.text();
    }
    batch.ids = selection.ids;
    batch.scores = selection.scores;
    for (const double p : selection.inclusion) {
        batch.inclusion_probabilities.push_back(p);
        batch.weights.push_back(1.0 / (p * static_cast<double>(selection.selectable)));
    }
    if (options.choice.budget > 0.0) {
        batch.settings["spent"] = fmt::format("{}", outcome.choice.spent);
    }
    return batch;
}

/// Opens the pool that names rows and classes, where one was given, and refuses an output that it
/// does not suffice for: said before the work, not after. The root's business.
std::optional<io::PoolFile> open_names(SelectOptions& options) {
    io::check_batch_path(options.output);
    std::optional<io::PoolFile> pool;
    const PoolOptions& source = options.source.pool;
    if (!source.path.empty()) {
        pool = io::open_pool(source.path, source.paths);
        if (options.tasks.class_names.empty()) options.tasks.class_names = pool->info().class_names;
    }
    if (!options.exports.empty()) {
        io::check_tasks(options.output, pool && pool->info().has_names, options.tasks);
    }
    return pool;
}

/// Writes the batch, its CSV and what --export asks for. The root's business.
void write_outcome(Job& job, const SelectOptions& options, const Outcome& outcome,
                   const Selector& selector, const std::optional<io::PoolFile>& names) {
    const auto timer = job.phases().time("write");
    const ScoreSourceOptions& source = options.source;
    io::Batch batch = make_batch(options, outcome, selector);
    if (names && names->info().has_names) batch.names = names->names_of(batch.ids);
    for (const std::string& name : options.exports) {
        io::write_tasks(options.output, batch, io::find_task_format(name), options.tasks,
                        job.overwrite());
    }
    const std::string& input = !source.scores.empty()        ? source.scores
                               : !source.predictions.empty() ? source.predictions
                                                             : source.pool.path;
    io::write_batch(options.output, batch, job.provenance(input), job.overwrite());
}

}  // namespace

int run_select(Job& job) {
    SelectOptions options;
    add_select_options(job.options(), options);
    job.options().get_option("--output")->required();
    job.start();
    return select_batch(job, options);
}

int select_batch(Job& job, SelectOptions& options) {
    options.choice.cost_file = options.source.pool.path;
    check_options(options);
    const ScoreSourceOptions& source = options.source;
    const std::uint32_t round = source.strategy.predictor.round;
    const Selector selector = options.choice.selector.selector(job.common().seed, round);
    job.check_output(options.output);
    job.check_not_read(io::csv_path_of_batch(options.output));
    agree(job.collective(), [&] {
        if (!job.is_root() || io::list_is_left_over(options.output)) return;
        io::check_place(io::csv_path_of_batch(options.output), job.overwrite());
    });
    agree(job.collective(), [&] {
        const std::int64_t filled = job.is_root() ? io::labels_filled_in(options.output) : 0;
        THRESHER_CHECK_AS(FileError, filled == 0,
                          "{} holds {} labels that somebody filled in; move it away, or choose "
                          "another -o",
                          io::csv_path_of_batch(options.output), filled);
    });
    for (const std::string& name : options.exports) {
        job.check_output(io::task_path(options.output, io::find_task_format(name)));
    }

    std::optional<io::PoolFile> names;
    agree(job.collective(), [&] {
        if (job.is_root()) names = open_names(options);
    });
    const Outcome outcome = source.scores.empty() ? choose_from_stream(job, options, round)
                                                  : choose_from_scores(job, options, round);
    const Choice& choice = outcome.choice;
    log_quarantine(choice.quarantine);
    agree(job.collective(), [&] {
        if (job.is_root()) write_outcome(job, options, outcome, selector, names);
    });
    const Selection& selection = choice.selection;
    log::info("picked {} of {} rows by {}, {} quarantined, wrote {}", selection.ids.size(),
              selection.selectable, outcome.acquisition, choice.quarantine.size(), options.output);
    nlohmann::json facts{{"rows", outcome.total_rows},
                         {"k", selection.ids.size()},
                         {"selectable", selection.selectable},
                         {"quarantined", choice.quarantine.size()},
                         {"selection_collectives", choice.traffic.collectives},
                         {"selection_bytes", choice.traffic.bytes}};
    for (const auto& [role, flops] : outcome.flops) facts["flops"][role] = flops;
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
