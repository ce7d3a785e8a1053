// thresher derive: pool -> pool, spoiled or split, the truth kept.

#include "io/derive.hpp"

#include "jobs/options/pool_options.hpp"
#include "jobs/verbs.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"

namespace thresher::jobs {

namespace {

struct Options {
    PoolOptions pool;
    io::DeriveOptions derive;
    double imbalance = 0.0;
    std::string splits, noise_kind = "uniform";
};

void add_options(CLI::App& app, Options& options) {
    add_pool_options(app, options.pool, true);
    app.add_option("-o,--output", options.derive.output, "Pool to write; with --split a directory")
        ->required();
    app.add_option("--class-shares", options.derive.class_shares,
                   "Share of each class to keep, 0 to 1")
        ->delimiter(',');
    app.add_option(
        "--imbalance", options.imbalance,
        "Exponential imbalance: the first class this many times the last, 1 and more; 0 = "
        "as it is");
    app.add_option("--subset", options.derive.subset, "Random rows to keep; 0 = all")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--split", options.splits, "Disjoint random pools, such as clean=1000,web=rest");
    app.add_option("--spoil", options.derive.spoil,
                   "Of the splits, the one that is repeated and gets noise");
    app.add_option("--repeat", options.derive.repeat, "Write each row this many times")
        ->check(CLI::PositiveNumber);
    app.add_option("--class-repeats", options.derive.class_repeats,
                   "Or the rows of each class this many times")
        ->delimiter(',');
    app.add_option("--jitter", options.derive.jitter,
                   "Noise of the repeated rows, in standard deviations")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--label-noise", options.derive.label_noise,
                   "Share of rows whose label is drawn anew; uniform draws among all classes")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--noise", options.noise_kind, "uniform, next-class or class-map")
        ->check(CLI::IsMember({"uniform", "next-class", "class-map"}));
    app.add_option("--class-map", options.derive.class_map,
                   "class-map: what each class is mistaken for")
        ->delimiter(',');
    app.add_option("--shuffle-captions", options.derive.shuffle_captions,
                   "Share of rows that get the caption of another row")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--rows-per-shard", options.derive.rows_per_shard,
                   "Write a directory of shards; 0 = one file");
}

}  // namespace

int run_derive(Job& job) {
    Options options;
    add_options(job.options(), options);
    job.start();
    THRESHER_CHECK_AS(UsageError, job.collective().size() == 1,
                      "derive runs on one rank, but {} were started; run it without mpirun",
                      job.collective().size());
    const io::PoolFile pool = open_pool(job, options.pool);
    io::DeriveOptions& derive = options.derive;
    THRESHER_CHECK_AS(UsageError, options.imbalance == 0.0 || derive.class_shares.empty(),
                      "--imbalance and --class-shares were both given; choose one");
    THRESHER_CHECK_AS(
        UsageError,
        options.imbalance == 0.0 || (options.imbalance >= 1.0 && options.imbalance <= 1e9),
        "--imbalance is {}; allowed are 1 to 1e9, or 0 for none", options.imbalance);
    if (options.imbalance > 0.0)
        derive.class_shares = io::exponential_shares(options.imbalance, pool.info().classes);
    if (!options.splits.empty()) derive.splits = io::parse_splits(options.splits);
    derive.noise_kind = options.noise_kind == "uniform"      ? io::LabelNoise::uniform
                        : options.noise_kind == "next-class" ? io::LabelNoise::next_class
                                                             : io::LabelNoise::class_map;
    derive.seed = job.common().seed;
    derive.overwrite = job.overwrite();
    std::vector<io::DerivedPool> pools;
    {
        const auto timer = job.phases().time("derive");
        pools = io::derive_pool(pool, derive, job.provenance(options.pool.path));
    }
    nlohmann::json facts;
    for (const io::DerivedPool& made : pools) {
        log::info("{}: {} rows, {} targets and {} captions changed, {} rows repeated", made.path,
                  made.rows, made.changed_targets, made.changed_captions, made.repeated);
        facts["pools"].push_back({{"path", made.path},
                                  {"rows", made.rows},
                                  {"changed_targets", made.changed_targets},
                                  {"changed_captions", made.changed_captions}});
    }
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
