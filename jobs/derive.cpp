// thresher derive: pool -> pool, spoiled or split, the truth kept; or scenes with boxes.

#include "io/derive/derive.hpp"

#include <fmt/ranges.h>

#include <charconv>

#include "io/derive/scenes.hpp"
#include "jobs/options/numbers.hpp"
#include "jobs/options/pool_options.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"

namespace thresher::jobs {

namespace {

struct Options {
    PoolOptions pool;
    io::DeriveOptions derive;
    io::ScenesOptions scenes;
    double imbalance = 0.0;
    std::vector<std::string> class_shares;
    std::string splits, noise_kind = "uniform";
};

void add_scene_options(CLI::App& app, Options& options) {
    const auto add = [&](const char* name, auto& value, const char* text) {
        return app.add_option(name, value, text)->group("Scenes");
    };
    io::ScenesOptions& scenes = options.scenes;
    add("--scenes", scenes.scenes,
        "Write this many images that show items of the pool, with their boxes; 0 = none");
    add("--scene-size", scenes.size, "Height and width of a scene in pixels");
    add("--scene-classes", scenes.classes,
        "Classes that are objects, by number or name (default: the first five)")
        ->delimiter(',');
    add("--junk", scenes.junk, "Share of the scenes that show fragments and no object");
    add("--alike", scenes.alike, "Share of the others whose items are all of one class");
    add("--scene-noise", scenes.noise, "Strength of the ground; 0 = black");
}

void add_options(CLI::App& app, Options& options) {
    add_pool_options(app, options.pool, true);
    app.add_option("-o,--output", options.derive.output, "Pool to write; with --split a directory")
        ->required();
    app.add_option("--class-shares", options.class_shares,
                   "Share of each class to keep, 0 to 1; of scenes, share of each class of items, "
                   "or balanced")
        ->delimiter(',');
    app.add_option(
        "--imbalance", options.imbalance,
        "Exponential imbalance: the first class this many times the last, 1 and more; 0 = "
        "as it is");
    app.add_option("--subset", options.derive.subset, "Random rows to keep; 0 = all")
        ->check(zero_or_more());
    app.add_option("--split", options.splits, "Disjoint random pools, such as clean=1000,web=rest");
    app.add_option("--spoil", options.derive.spoil,
                   "Of the splits, the one that is repeated and gets noise");
    app.add_option("--repeat", options.derive.repeat, "Write each row this many times")
        ->check(above_zero());
    app.add_option("--class-repeats", options.derive.class_repeats,
                   "Or the rows of each class this many times")
        ->delimiter(',');
    app.add_option("--jitter", options.derive.jitter,
                   "Noise of the repeated rows, in standard deviations")
        ->check(zero_or_more());
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
    add_scene_options(app, options);
}

std::vector<double> parse_shares(const std::vector<std::string>& texts, const char* allowed) {
    std::vector<double> shares;
    for (const std::string& text : texts) {
        double share = 0.0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
        THRESHER_CHECK_AS(UsageError, error == std::errc{} && end == text.data() + text.size(),
                          "--class-shares has \"{}\", which is no number; expected {}", text,
                          allowed);
        shares.push_back(share);
    }
    return shares;
}

/// Throws UsageError where options were given that mean nothing beside --scenes, or without it.
void check_scene_options(const Job& job, bool scenes) {
    std::vector<std::string> given;
    const auto collect = [&](std::initializer_list<const char*> names) {
        for (const char* name : names) {
            if (job.was_given(name)) given.emplace_back(name);
        }
    };
    if (scenes) {
        collect({"--imbalance", "--subset", "--split", "--spoil", "--repeat", "--class-repeats",
                 "--jitter", "--label-noise", "--noise", "--class-map", "--shuffle-captions"});
    } else {
        collect({"--scene-size", "--scene-classes", "--junk", "--alike", "--scene-noise"});
    }
    THRESHER_CHECK_AS(UsageError, given.empty(), "{} cannot be given {} --scenes; {}",
                      fmt::join(given, ", "), scenes ? "with" : "without",
                      scenes ? "derive from the pool of items before, or from that of scenes after"
                             : "say how many scenes to write");
}

int derive_scenes(Job& job, const io::PoolFile& pool, Options& options) {
    io::ScenesOptions& scenes = options.scenes;
    check_scene_options(job, true);
    if (options.class_shares != std::vector<std::string>{"balanced"}) {
        scenes.class_shares =
            parse_shares(options.class_shares, "a share of each class, or balanced");
    }
    scenes.output = options.derive.output;
    scenes.rows_per_shard = options.derive.rows_per_shard;
    scenes.seed = job.common().seed;
    scenes.overwrite = job.overwrite();
    io::ScenesReport report;
    {
        const auto timer = job.phases().time("derive");
        io::Provenance provenance;
        agree(job.collective(), [&] { provenance = job.provenance(options.pool.path); });
        report = io::derive_scenes(pool, scenes, provenance, job.collective());
    }
    if (!job.is_root()) return 0;
    std::vector<std::string> classes;
    for (std::size_t c = 0; c < report.boxes.size(); ++c) {
        classes.push_back(fmt::format("{} {}", report.boxes[c], report.class_names[c]));
    }
    log::info("{}: {} scenes, {} of them without an object; items: {}", scenes.output,
              report.scenes, report.junk, fmt::join(classes, ", "));
    job.finish({{"scenes", report.scenes}, {"junk", report.junk}, {"boxes", report.boxes}});
    return 0;
}

}  // namespace

int run_derive(Job& job) {
    Options options;
    add_options(job.options(), options);
    job.start();
    const bool scenes = options.scenes.scenes != 0;
    THRESHER_CHECK_AS(
        UsageError, scenes || job.collective().size() == 1,
        "derive runs on one rank unless it makes --scenes, but {} were started; run it without "
        "mpirun",
        job.collective().size());
    job.check_not_read(options.derive.output);
    const io::PoolFile pool = open_pool(job, options.pool);
    if (scenes) return derive_scenes(job, pool, options);
    check_scene_options(job, false);
    io::DeriveOptions& derive = options.derive;
    derive.class_shares = parse_shares(options.class_shares, "a share of each class to keep");
    THRESHER_CHECK_AS(UsageError, options.imbalance == 0.0 || derive.class_shares.empty(),
                      "--imbalance and --class-shares were both given; choose one");
    THRESHER_CHECK_AS(
        UsageError,
        options.imbalance == 0.0 || (options.imbalance >= 1.0 && options.imbalance <= 1e9),
        "--imbalance is {}; allowed are 1 to 1e9, or 0 for none", options.imbalance);
    if (options.imbalance > 0.0)
        derive.class_shares = io::exponential_shares(options.imbalance, pool.info().classes);
    if (!options.splits.empty()) derive.splits = io::parse_splits(options.splits);
    for (const io::DeriveSplit& split : derive.splits) {
        job.check_not_read(io::split_path(derive, split));
    }
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
