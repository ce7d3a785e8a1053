#include "jobs/steps/policy_grounds.hpp"

#include "src/base/agreement.hpp"
#include "src/base/log.hpp"
#include "src/random/philox.hpp"

namespace thresher::jobs {

Ground make_ground(Job& job, const PolicyOptions& options, std::span<const std::string> features,
                   std::int64_t number) {
    Ground ground;
    ground.seed = KeyedRandom(job.common().seed, Stream::policy_environment, 0).bits(number);
    ground.open = open_environment(job, options.choice, ground.seed);
    agree(job.collective(), [&] {
        const Environment& environment = ground.open.environment;
        ground.proxy =
            std::make_unique<Proxy>(environment, options.choice.proxy_options(ground.seed));
        const std::vector<float> log_probs = ground.proxy->log_probs({}, environment.candidates);
        ground.candidates = make_candidates({.rows = environment.candidates.rows,
                                             .embeddings = environment.candidates.features,
                                             .embedding_size = environment.dimensions,
                                             .log_probs = log_probs,
                                             .classes = environment.classes,
                                             .losses = {},
                                             .labelled_embeddings = environment.labelled.features},
                                            features);
        ground.retrained =
            std::make_unique<ProxyMetric>(*ground.proxy, options.metric, JudgedOn::reward);
    });
    ground.reward = std::make_unique<SharedMetric>(*ground.retrained, job.collective());
    return ground;
}

std::vector<Ground> make_grounds(Job& job, const PolicyOptions& options) {
    const auto timer = job.phases().time("environments");
    std::vector<Ground> grounds;
    const auto progress = job.progress("environments", options.environments, "environments");
    for (std::int64_t i = 0; i < options.environments; ++i) {
        Ground ground = make_ground(job, options, options.features, i);
        if (options.rewards == "table") {
            ground.table = std::make_unique<RefreshedTable>(
                make_items(facts_of(ground.open.environment, *ground.proxy)), *ground.reward,
                options.table_options(ground.seed), job.collective());
            log::debug("{} {}: {}", ground.open.environment.name, i, ground.table->summary());
        }
        grounds.push_back(std::move(ground));
        progress->update(i + 1);
    }
    progress->finish();
    return grounds;
}

}  // namespace thresher::jobs
