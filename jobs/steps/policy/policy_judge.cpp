#include "jobs/steps/policy/policy_judge.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "src/base/check.hpp"
#include "src/environments/choosers.hpp"
#include "src/policy/table_search.hpp"

namespace thresher::jobs {

bool is_search(std::string_view name) { return name == kBestOfTable || name == kSearch; }

void check_chooser_or_search(std::string_view name) {
    if (is_search(name)) return;
    std::vector<std::string> known = choosers();
    known.emplace_back(kBestOfTable);
    known.emplace_back(kSearch);
    THRESHER_CHECK_AS(UsageError, std::find(known.begin(), known.end(), name) != known.end(),
                      "\"{}\" cannot choose here; known: {}", name, fmt::join(known, ", "));
}

PolicyJudge::PolicyJudge(const PolicyOptions& options, const Ground& ground)
    : options_(options), ground_(ground), metric_(*ground.proxy, options.metric, Part::test) {
    static_cast<void>(random());
}

Judged PolicyJudge::policy(const Policy& policy) {
    const bool likeliest = find_head(policy.head).likeliest && !options_.sample;
    const Rollouts drawn = draw_batches(policy, ground_.candidates,
                                        {.rollouts = likeliest ? 1 : options_.draws,
                                         .picks = options_.picks,
                                         .seed = ground_.seed,
                                         .likeliest = likeliest});
    Judged judged;
    for (const auto& batch : drawn.picks) {
        judged.gain += gain_of(batch);
        judged.labels += static_cast<double>(batch.size());
    }
    judged.gain /= static_cast<double>(drawn.picks.size());
    judged.labels /= static_cast<double>(drawn.picks.size());
    judged.picks = drawn.picks.front();
    return judged;
}

Judged PolicyJudge::method(const std::string& name, std::int64_t retrainings) {
    Judged judged;
    if (is_search(name)) {
        judged.picks = searched(name, retrainings);
    } else {
        const Situation situation{ground_.open.environment,
                                  *ground_.proxy,
                                  {},
                                  ground_.proxy->metric(options_.metric),
                                  ground_.seed,
                                  0};
        judged.picks = choose_batch(name, situation, options_.picks);
    }
    judged.gain = gain_of(judged.picks);
    judged.labels = static_cast<double>(judged.picks.size());
    return judged;
}

std::vector<std::int32_t> PolicyJudge::searched(const std::string& name,
                                                std::int64_t retrainings) const {
    TableOptions table = options_.table_options(ground_.seed);
    SearchOptions search{.picks = options_.picks, .seed = ground_.seed};
    if (name == kBestOfTable) {
        table.records = retrainings;
    } else {
        table.records = std::min(table.records, std::max<std::int64_t>(2, retrainings / 2));
        search.refreshes = (retrainings - table.records) / table.refreshed;
    }
    const auto alone = make_local_collective();
    RefreshedTable refreshed(make_items(facts_of(ground_.open, *ground_.proxy)), *ground_.retrained,
                             table, *alone);
    return search_table(refreshed, search);
}

double PolicyJudge::gain_of(std::span<const std::int32_t> batch) {
    // As every batch of none, and of all.
    if (batch.empty() || std::ssize(batch) == ground_.candidates.rows) return 0.0;
    double value = 0.0;
    metric_.evaluate(batch, std::ssize(batch), std::span(&value, 1));
    const Spread& random = random_of(std::ssize(batch));
    return (value - random.mean) / random.deviation;
}

const Spread& PolicyJudge::random_of(std::int64_t size) {
    const auto [found, is_new] = random_.try_emplace(size);
    if (!is_new) return found->second;
    const auto batches =
        random_batches(ground_.candidates.rows,
                       {.rollouts = options_.random_batches, .picks = size, .seed = ground_.seed});
    std::vector<double> values(static_cast<std::size_t>(options_.random_batches));
    metric_.evaluate(batches, size, values);
    found->second = spread_of(values);
    THRESHER_CHECK(differ_by_more_than_rounding(found->second),
                   "all of {} random batches of {} have the same {} ({}): there is no unit to "
                   "tell gains in; take more --test-points, or larger batches",
                   options_.random_batches, size, options_.metric, found->second.mean);
    return found->second;
}

}  // namespace thresher::jobs
