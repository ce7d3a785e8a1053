#include "jobs/options/loop_options.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "io/checksum.hpp"
#include "jobs/options/numbers.hpp"
#include "jobs/steps/loop/cycle_agent.hpp"
#include "src/base/check.hpp"

namespace thresher::jobs {

void add_loop_options(CLI::App& app, LoopOptions& options) {
    add_pool_options(app, options.pool, true);
    app.add_option("--test-pool", options.test_pool,
                   "Pool on which every cycle's model is evaluated")
        ->required();
    add_model_options(app, options.model, true);
    app.add_option("--reference", options.reference,
                   "Model file of the reference, for acquisitions that need one");
    app.add_option("--acquisitions", options.acquisitions,
                   "Compared with each other: acquisitions, each with a selector of its own where "
                   "one follows it, as in bald+power:8")
        ->delimiter(',');
    add_choice_options(app, options.choice);
    app.add_option("--agent", options.choice.agent,
                   "policy: fixed (the file never changes), single (one policy, trained further in "
                   "every cycle on what is labelled) or per-cycle (a new one each)")
        ->check(CLI::IsMember({"fixed", "single", "per-cycle"}));
    app.add_option("--agent-updates", options.agent_updates,
                   "single, per-cycle: updates of the policy in a cycle")
        ->check(above_zero());
    app.add_option("--samples", options.samples,
                   "Passes with dropout, for acquisitions that need several predictions")
        ->check(zero_or_more());
    app.add_flag("--consistent-masks", options.consistent_masks,
                 "The same dropout mask for all rows of a pass");
    app.add_option(
           "--boxes-per-image", options.boxes_per_image,
           fmt::format("box-*: the best boxes of each image; {} unless given", kDefaultBoxes))
        ->check(zero_or_more());
    app.add_option("--target-pool", options.target_pool,
                   "epig: pool of what the model will be used for");
    app.add_option("--initial", options.initial, "Random rows labelled before the first cycle")
        ->required()
        ->check(above_zero());
    app.add_option("-k,--k", options.k, "Rows labelled after each cycle")
        ->required()
        ->check(above_zero());
    app.add_option("--cycles", options.cycles, "Trainings; the last is not followed by a selection")
        ->required()
        ->check(above_zero());
    app.add_option("--repeats", options.repeats,
                   "Repeats with other initial rows and other initial weights")
        ->check(above_zero());
    app.add_option("--oracle", options.oracle,
                   "Who labels: pool (its targets), or person (stops after batch.csv)")
        ->check(CLI::IsMember({"pool", "person"}));
    app.add_option("--labels", options.labels,
                   "person: the labels of the last batch, with --resume");
    app.add_option("--run", options.run, "Directory for run.h5, checkpoints, batches and log.txt")
        ->required();
    app.add_flag("--resume", options.resume, "Go on from the run's last checkpoint");
    add_training_options(app, options.training);
}

std::vector<Method> LoopOptions::methods() const {
    std::vector<Method> methods;
    for (const std::string& text : acquisitions) {
        Method method{text, text.substr(0, text.find('+')), choice};
        if (const std::size_t plus = text.find('+'); plus != std::string::npos) {
            std::string selector = text.substr(plus + 1);
            const std::size_t colon = selector.find(':');
            method.choice.selector = {};
            method.choice.selector.name = selector.substr(0, colon);
            if (colon != std::string::npos) {
                const char* end = selector.data() + selector.size();
                const auto read =
                    std::from_chars(selector.data() + colon + 1, end, method.choice.selector.beta);
                THRESHER_CHECK_AS(UsageError, read.ec == std::errc{} && read.ptr == end,
                                  "--acquisitions {}: what follows the colon is no number; write "
                                  "acquisition+selector:beta, as in bald+power:8",
                                  text);
            }
        } else if (picks_jointly(text)) {
            method.choice.selector = {};  // --selector is for those that score each row
        }
        if (!picks_jointly(method.acquisition)) method.choice.candidates = 0;
        methods.push_back(std::move(method));
    }
    return methods;
}

void check_loop_options(const LoopOptions& options) {
    std::vector<std::string_view> needs;
    std::vector<std::string> acquisitions;
    for (const Method& method : options.methods()) {
        acquisitions.push_back(method.acquisition);
        check_choice(method.choice, method.acquisition, options.k);
        const auto more = needs_of_choice(method.choice, method.acquisition);
        needs.insert(needs.end(), more.begin(), more.end());
    }
    warn_of_unread(options.choice, acquisitions);
    check_aggregation(options.choice.aggregate, needs);
    THRESHER_CHECK_AS(UsageError,
                      options.boxes_per_image == 0 ||
                          std::find(needs.begin(), needs.end(), "boxes") != needs.end(),
                      "--boxes-per-image is for acquisitions that read boxes, and --acquisitions "
                      "names none; leave it out, or add one such as box-entropy");
    const std::string& agent = options.choice.agent;
    const bool by_policy = std::find(options.acquisitions.begin(), options.acquisitions.end(),
                                     kPolicy) != options.acquisitions.end();
    THRESHER_CHECK_AS(UsageError, agent == "fixed" || by_policy,
                      "--agent {} says how the acquisition policy is trained; add it to "
                      "--acquisitions",
                      agent);
    THRESHER_CHECK_AS(
        UsageError, agent != "per-cycle" || options.choice.policy.empty(),
        "--agent per-cycle trains a new policy in every cycle; leave --policy out, or "
        "take --agent single, which goes on from it");
    THRESHER_CHECK_AS(UsageError, agent == "fixed" || options.initial >= labels_needed(options.k),
                      "--agent {} trains in what is labelled, and needs {} rows for batches of {}; "
                      "--initial is {}",
                      agent, labels_needed(options.k), options.k, options.initial);
    const bool person = options.oracle == "person";
    THRESHER_CHECK_AS(
        UsageError, !person || (options.acquisitions.size() == 1 && options.repeats == 1),
        "--oracle person labels one batch at a time, but there are {} acquisitions and {} repeats",
        options.acquisitions.size(), options.repeats);
    THRESHER_CHECK_AS(UsageError, options.labels.empty() || (person && options.resume),
                      "--labels answers a batch of --oracle person and needs --resume");
    std::vector<std::string> names = options.acquisitions;
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    THRESHER_CHECK_AS(UsageError, twice == names.end(), "--acquisitions names {} twice",
                      twice == names.end() ? "" : *twice);
}

std::map<std::string, std::string> LoopOptions::settings(const TrainOptions& train,
                                                         const PoolInfo& pool_info) const {
    std::map<std::string, std::string> settings = lasting_settings(train);
    settings["pool"] = io::inputs_checksum(pool.path);
    settings["test-pool"] = io::inputs_checksum(test_pool);
    settings["target-pool"] = target_pool.empty() ? "" : io::inputs_checksum(target_pool);
    settings["model"] = to_json(model.spec(pool_info));
    settings["reference"] = io::inputs_checksum(reference);
    settings["acquisitions"] = fmt::format("{}", fmt::join(acquisitions, ","));
    settings["policy"] = io::inputs_checksum(choice.policy);
    settings["sample"] = choice.sample ? "yes" : "no";
    settings["agent"] = choice.agent == "fixed"
                            ? choice.agent
                            : fmt::format("{}, {} updates", choice.agent, agent_updates);
    settings["balance"] = choice.balance;
    settings["datasets"] = describe_datasets(pool);
    settings["selector"] =
        fmt::format("{} {}", choice.selector.name, choice.selector.selector(0, 0).beta);
    settings["joint"] = fmt::format(
        "candidates {} by {}, {}, configurations {}, exact rows {}, margin factor {}",
        choice.candidates, choice.candidates_by, choice.similarity, choice.joint.configurations,
        choice.joint.exact_rows, choice.joint.margin_factor);
    settings["samples"] = fmt::format("{}{}", samples, consistent_masks ? " consistent" : "");
    settings["boxes"] = fmt::format("{} an image, {}", boxes_per_image, choice.aggregate.text());
    settings["initial"] = std::to_string(initial);
    settings["k"] = std::to_string(k);
    settings["cycles"] = std::to_string(cycles);
    settings["repeats"] = std::to_string(repeats);
    settings["oracle"] = oracle;
    return settings;
}

}  // namespace thresher::jobs
