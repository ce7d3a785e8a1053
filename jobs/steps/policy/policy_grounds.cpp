#include "jobs/steps/policy/policy_grounds.hpp"

#include "io/lookup_table_file.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/random/philox.hpp"

namespace thresher::jobs {

namespace {

const std::string& table_of(const PolicyOptions& options, std::int64_t number) {
    return options.tables[static_cast<std::size_t>(number)];
}

/// Throws UsageError where a table is of other candidates, or of another proxy.
void check_belongs(const LookupTable& table, const Ground& ground, const PolicyOptions& options,
                   const std::string& path) {
    THRESHER_CHECK_AS(UsageError, table.candidates_checksum == ground.open.checksum,
                      "{} is of other candidates than these options make with its seed {}; give "
                      "the options of the environment that it was built with",
                      path, ground.seed);
    THRESHER_CHECK_AS(UsageError, table.proxy == ground.proxy->describe(),
                      "{} was built with another proxy: {}; here it is {}", path, table.proxy,
                      ground.proxy->describe());
    const UsableRecords records = usable_records(table, options.metric);
    THRESHER_CHECK_AS(UsageError,
                      options.picks >= records.least_size && options.picks <= records.most_size,
                      "{} has records of {} to {} candidates, and -k is {}; build one with that "
                      "--subset-size",
                      path, records.least_size, records.most_size, options.picks);
}

}  // namespace

void furnish(Job& job, Ground& ground, const EnvironmentChoice& proxy, const std::string& metric,
             std::span<const std::string> features) {
    agree(job.collective(), [&] {
        const Environment& environment = ground.open.environment;
        ground.proxy = make_proxy(ground.open, proxy, ground.seed);
        const std::vector<float> log_probs = ground.proxy->log_probs({}, Part::candidates, {});
        ground.candidates = make_candidates({.rows = environment.candidates.rows,
                                             .embeddings = environment.candidates.features,
                                             .embedding_size = environment.dimensions,
                                             .log_probs = log_probs,
                                             .classes = environment.classes,
                                             .labelled_embeddings = environment.labelled.features},
                                            features);
        ground.retrained = std::make_unique<ProxyMetric>(*ground.proxy, metric, Part::reward);
    });
    ground.reward = std::make_unique<SharedMetric>(*ground.retrained, job.collective(),
                                                   ground.proxy->side_by_side());
}

Ground make_ground(Job& job, const PolicyOptions& options, const EnvironmentSource& source,
                   std::span<const std::string> features, std::int64_t number) {
    Ground ground;
    ground.seed = KeyedRandom(job.common().seed, Stream::policy_environment, 0).bits(number);
    std::optional<LookupTable> built;
    if (number < std::ssize(options.tables)) {
        agree(job.collective(), [&] {
            built = io::read_lookup_table(table_of(options, number));
            THRESHER_CHECK(!built->seeds.empty(), "{} has no records", table_of(options, number));
        });
        ground.seed = built->seeds.front();  // of the environment that it was built in
    }
    ground.open = source.open(ground.seed, number < kFresh ? Half::training : Half::fresh);
    furnish(job, ground, options.choice, options.metric, features);
    if (built) {
        agree(job.collective(),
              [&] { check_belongs(*built, ground, options, table_of(options, number)); });
    }
    ground.built = std::move(built);
    return ground;
}

void give_table(Job& job, Ground& ground, const PolicyOptions& options, const TrainState& state) {
    const TableOptions table = options.table_options(ground.seed);
    Items items = make_items(facts_of(ground.open, *ground.proxy));
    if (!state.empty()) {
        agree(job.collective(), [&] {
            ground.table = std::make_unique<RefreshedTable>(std::move(items), *ground.reward, table,
                                                            job.collective(), state);
        });
        return;
    }
    ground.table =
        std::make_unique<RefreshedTable>(std::move(items), *ground.reward, table, job.collective(),
                                         ground.built ? &*ground.built : nullptr);
}

void fit_tables(std::span<const Ground> grounds, Collective& collective) {
    std::vector<RefreshedTable*> tables;
    for (const Ground& ground : grounds) {
        if (ground.table) tables.push_back(ground.table.get());
    }
    fit_together(tables, collective);
}

std::vector<Ground> make_grounds(Job& job, const PolicyOptions& options) {
    const auto timer = job.phases().time("environments");
    const EnvironmentSource source(job, options.choice);
    std::vector<Ground> grounds;
    const auto progress = job.progress("environments", options.environments, "environments");
    for (std::int64_t i = 0; i < options.environments; ++i) {
        grounds.push_back(make_ground(job, options, source, options.features, i));
        progress->update(i + 1);
    }
    progress->finish();
    return grounds;
}

}  // namespace thresher::jobs
