#include "jobs/env_games.hpp"

#include <algorithm>
#include <chrono>

#include "io/policy_file.hpp"
#include "io/run/run_directory.hpp"
#include "jobs/steps/choice/choice.hpp"
#include "jobs/steps/policy/candidate_curves.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"
#include "src/base/spread.hpp"
#include "src/environments/policy_chooser.hpp"
#include "src/policy/heads/heads.hpp"

namespace thresher::jobs {

namespace {

/// Numbers that a game tells of each round: accuracy and loss on the test points, and seconds.
constexpr std::int64_t kTold = 3;

struct Game {
    std::int64_t seed, b;
    std::string chooser;
    std::vector<double> told;   ///< [rounds, kTold]
    std::vector<double> picks;  ///< [budget] candidates, in pick order
};

/// What was played, and with what candidates, at the root.
struct Played {
    std::vector<Game> games;
    io::RunRecord candidates;
};

/// Throws UsageError where a comparison names something twice.
template <class T>
void check_distinct(const char* option, std::vector<T> values) {
    std::sort(values.begin(), values.end());
    const auto twice = std::adjacent_find(values.begin(), values.end());
    THRESHER_CHECK_AS(UsageError, twice == values.end(), "{} names {} twice; name it once", option,
                      *twice);
}

bool by_policy(const EnvOptions& options) {
    return std::find(options.choosers.begin(), options.choosers.end(), kPolicy) !=
           options.choosers.end();
}

void check_games(Job& job, const EnvOptions& options) {
    for (const std::string& chooser : options.choosers) {
        if (chooser != kPolicy) check_chooser(chooser);
    }
    THRESHER_CHECK_AS(UsageError, by_policy(options) == !options.policy.empty(),
                      "the chooser policy and --policy, its file, go together; {} was given alone",
                      options.policy.empty() ? "the first" : "the second");
    check_distinct("--choosers", options.choosers);
    check_distinct("--batches", options.batches);
    const std::int64_t most = *std::max_element(options.batches.begin(), options.batches.end());
    THRESHER_CHECK_AS(
        UsageError,
        options.budget >= most && options.budget <= options.choice.environment.candidates,
        "--budget is {}; allowed are {} (the largest of --batches) to {} (the candidates)",
        options.budget, most, options.choice.environment.candidates);
    for (const std::int64_t b : options.batches) {
        THRESHER_CHECK_AS(UsageError, options.budget % b == 0,
                          "--budget is {}, which batches of {} do not add up to; give a multiple "
                          "of each of --batches",
                          options.budget, b);
    }
    THRESHER_CHECK_AS(UsageError, !options.output.empty(),
                      "--output is missing; give the file of curves to write");
    job.check_output(options.output);
}

io::TrainedPolicy read_trained(Job& job, const EnvOptions& options) {
    io::TrainedPolicy trained;
    if (options.policy.empty()) return trained;
    agree(job.collective(), [&] {
        trained = io::read_policy(options.policy);
        THRESHER_CHECK_AS(UsageError, find_head(trained.policy.head).exact,
                          "{} was trained with the head {}, which labels as many as it likes, but "
                          "the batches of a game have a size; train one with another --head",
                          options.policy, trained.policy.head);
    });
    return trained;
}

void play(Game& game, const io::TrainedPolicy& trained, Situation situation, std::int64_t budget) {
    auto begin = std::chrono::steady_clock::now();
    const auto note = [&] {
        const auto found =
            situation.proxy
                .evaluate_means(situation.picked, std::ssize(situation.picked), Part::test)
                .front();
        const auto end = std::chrono::steady_clock::now();
        game.told.insert(game.told.end(),
                         {found[0], -found[1], std::chrono::duration<double>(end - begin).count()});
        begin = end;
    };
    note();
    while (std::ssize(situation.picked) < budget) {
        const auto batch =
            game.chooser == kPolicy
                ? choose_by_policy(trained.policy, trained.feature_kinds, situation, game.b)
                : choose_batch(game.chooser, situation, game.b);
        situation.picked.insert(situation.picked.end(), batch.begin(), batch.end());
        ++situation.round;
        note();
    }
    game.picks.assign(situation.picked.begin(), situation.picked.end());
}

/// Every game is played by one rank; all ranks get what all games told. Collective.
Played play_all(Job& job, const EnvOptions& options) {
    const io::TrainedPolicy trained = read_trained(job, options);
    Played played;
    std::vector<Game>& games = played.games;
    for (std::int64_t s = 0; s < options.seeds; ++s) {
        for (const std::int64_t b : options.batches) {
            for (const std::string& chooser : options.choosers)
                games.push_back({s, b, chooser, {}, {}});
        }
    }
    Collective& collective = job.collective();
    const auto progress = job.progress("env", std::ssize(games), "games");
    const EnvironmentSource source(job, options.choice);
    // A policy may have met the rows that environments are trained in.
    const Half half = by_policy(options) ? Half::fresh : Half::training;
    for (std::int64_t s = 0; s < options.seeds; ++s) {
        const std::uint64_t seed = job.common().seed + static_cast<std::uint64_t>(s);
        const OpenEnvironment open = source.open(seed, half);
        if (job.is_root()) add_candidates(open, played.candidates);
        agree(collective, [&] {
            const auto timer = job.phases().time("play");
            const std::unique_ptr<Proxy> made = make_proxy(open, options.choice, seed);
            const Proxy& proxy = *made;
            const Situation start{
                open.environment, proxy, {}, proxy.metric(options.metric), seed, 0};
            for (std::size_t i = 0; i < games.size(); ++i) {
                const bool own =
                    static_cast<int>(i % static_cast<std::size_t>(collective.size())) ==
                    collective.rank();
                if (games[i].seed != s || !own) continue;
                give_up_if_others_failed(collective);
                play(games[i], trained, start, options.budget);
                progress->update(static_cast<std::int64_t>(i) + 1);
            }
        });
    }
    progress->finish();
    for (Game& game : games) {
        game.told.resize(static_cast<std::size_t>(kTold * (options.budget / game.b + 1)), 0.0);
        // Other ranks have zeros where one has a value, so sums are the values.
        game.picks.resize(static_cast<std::size_t>(options.budget), 0.0);
        collective.all_reduce_sum(std::span(game.told));
        collective.all_reduce_sum(std::span(game.picks));
    }
    return played;
}

io::RunRecord to_record(const EnvOptions& options, Played played) {
    io::RunRecord record = std::move(played.candidates);
    for (const Game& game : played.games) {
        io::Curve& picks = record.curves[fmt::format("picks/{}/b{}", game.chooser, game.b)];
        picks.shape = {options.seeds, options.budget};
        picks.description = "candidates in pick order, from 0";
        picks.values.insert(picks.values.end(), game.picks.begin(), game.picks.end());
        const std::int64_t rounds = options.budget / game.b + 1;
        const auto add = [&](const char* name, const char* description, const auto& value) {
            io::Curve& curve = record.curves[fmt::format("{}/b{}/{}", game.chooser, game.b, name)];
            curve.shape = {options.seeds, rounds};
            curve.description = description;
            for (std::int64_t round = 0; round < rounds; ++round)
                curve.values.push_back(value(round));
        };
        add("labelled", "labels, those to begin with included", [&](std::int64_t round) {
            return static_cast<double>(options.choice.environment.labelled + round * game.b);
        });
        const auto told = [&](std::int64_t which) {
            return [&, which](std::int64_t round) {
                return game.told[static_cast<std::size_t>(kTold * round + which)];
            };
        };
        add("test_accuracy", "accuracy on the test points", told(0));
        add("test_loss", "mean loss on the test points", told(1));
        add("seconds", "time of the round, its choice included", told(2));
    }
    return record;
}

/// Prints what is reached with all labels; returns the same for --json.
nlohmann::json report(Job& job, const EnvOptions& options, const io::RunRecord& record) {
    nlohmann::json facts;
    for (const char* name : {"test_accuracy", "test_loss"}) {
        job.print(fmt::format("{} with {} labels in batches of", name,
                              options.choice.environment.labelled + options.budget));
        std::string head = fmt::format("{:<18}", "");
        for (const std::int64_t b : options.batches) head += fmt::format(" {:>17}", b);
        job.print(head);
        for (const std::string& chooser : options.choosers) {
            std::string line = fmt::format("{:<18}", chooser);
            for (const std::int64_t b : options.batches) {
                const io::Curve& curve =
                    record.curves.at(fmt::format("{}/b{}/{}", chooser, b, name));
                std::vector<double> last;
                const auto rounds = static_cast<std::size_t>(curve.shape[1]);
                for (std::size_t i = rounds; i <= curve.values.size(); i += rounds) {
                    last.push_back(curve.values[i - 1]);
                }
                const Spread found = spread_of(last);
                line += fmt::format(" {:>8.4f} +- {:.4f}", found.mean, found.deviation);
                facts[name][chooser][std::to_string(b)] = found.mean;
            }
            job.print(line);
        }
    }
    return facts;
}

}  // namespace

int play_games(Job& job, const EnvOptions& options) {
    check_games(job, options);
    const io::RunRecord record = to_record(options, play_all(job, options));
    const nlohmann::json facts = report(job, options, record);
    agree(job.collective(), [&] {
        if (!job.is_root()) return;
        io::write_run(options.output, record, job.provenance(options.choice.pool.path));
        log::info("wrote {}", options.output);
    });
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
