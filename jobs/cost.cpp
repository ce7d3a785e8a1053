// thresher cost: does prioritised training pay, before anything is trained?

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "jobs/options/numbers.hpp"
#include "jobs/options/pool_options.hpp"
#include "jobs/verbs.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/models/flops.hpp"
#include "src/models/model.hpp"
#include "src/training/cost_model.hpp"
#include "src/training/prioritised/method.hpp"

namespace thresher::jobs {

namespace {

struct CostOptions {
    std::string learner, online, reference, method = "learnability";
    PoolOptions pool;
    std::vector<std::int64_t> input_shape;
    std::int64_t classes = 0;
    double filter_ratio = 0.0, speedup = 0.0, reference_share = 1.0;
};

void add_options(CLI::App& app, CostOptions& options) {
    app.add_option("--learner", options.learner,
                   "Built-in model, model file, or FLOPs of a forward pass of one example")
        ->required();
    app.add_option("--online", options.online,
                   "The online model, as --learner; \"learner\": the learner scores itself");
    app.add_option("--reference", options.reference, "The reference model, as --learner");
    app.add_option("--method", options.method,
                   "hard-learner, easy-reference, learnability or rho-loss")
        ->check(CLI::IsMember({"hard-learner", "easy-reference", "learnability", "rho-loss"}));
    app.add_option("--filter-ratio", options.filter_ratio,
                   "Candidates scored for each example trained on; 0 = the method's own");
    app.add_option("--speedup", options.speedup,
                   "Share of the updates that prioritised training saves, such as 0.26")
        ->required();
    app.add_option("--reference-share", options.reference_share,
                   "Examples the reference is pretrained on, over those of uniform training");
    app.add_option("--pool", options.pool.path, "Pool that gives built-in models their shape");
    app.add_option("--input-shape", options.input_shape, "Or the shape, such as 3,224,224")
        ->delimiter(',')
        ->check(above_zero());
    app.add_option("--classes", options.classes, "And the classes")->check(zero_or_more());
}

/// What built-in models are made for.
PoolInfo shape_of(const CostOptions& options) {
    if (!options.pool.path.empty()) return io::open_pool(options.pool.path).info();
    PoolInfo info;
    info.path = "--input-shape";
    info.input_shape = options.input_shape;
    info.classes = options.classes;
    info.has_targets = info.has_boxes = true;  // whichever the model learns from
    return info;
}

/// FLOPs of one example through what the user called `option`.
double flops_of(const std::string& option, const std::string& what, const PoolInfo& shape) {
    double number = 0.0;
    const char* const end = what.data() + what.size();
    if (const auto read = std::from_chars(what.data(), end, number);
        read.ec == std::errc{} && read.ptr == end) {
        return number;
    }
    if (std::filesystem::path(what).extension() == ".pt") {
        const ModelSpec spec = read_model_spec(what);
        THRESHER_CHECK_AS(UsageError, is_built_in_model(spec.name),
                          "{} {} is a TorchScript file, whose operations are not known before it "
                          "runs; give their number instead",
                          option, what);
        return forward_flops_of_an_example(spec);
    }
    const bool has_outputs = shape.classes > 0 || shape.token_length > 0;
    THRESHER_CHECK_AS(
        UsageError, !is_built_in_model(what) || (!shape.input_shape.empty() && has_outputs),
        "{} {} needs a shape: give --pool, or --input-shape and --classes", option, what);
    return forward_flops_of_an_example(spec_for_pool(what, shape));
}

/// Forward costs of the roles that the method has; 0 for the others.
struct Costs {
    double learner = 0.0, online = 0.0, reference = 0.0;
    bool learner_scores = false;  ///< no online model beside it

    double scoring() const { return (learner_scores ? learner : online) + reference; }
};

Costs costs_of(CostOptions options) {
    const bool with_online = options.method != "easy-reference";
    const bool with_reference = options.method != "hard-learner";
    if (options.method == "rho-loss") {
        THRESHER_CHECK_AS(UsageError, options.online.empty() || options.online == "learner",
                          "rho-loss scores with the learner itself; leave --online out");
        options.online = "learner";
    }
    const auto check_role = [&](const char* name, const std::string& model, bool wanted) {
        THRESHER_CHECK_AS(UsageError, model.empty() != wanted, "method {} {} --{}", options.method,
                          wanted ? "needs" : "does not use", name);
    };
    check_role("online", options.online, with_online);
    check_role("reference", options.reference, with_reference);
    const PoolInfo shape = shape_of(options);
    Costs costs;
    costs.learner = flops_of("--learner", options.learner, shape);
    costs.learner_scores = options.online == "learner";
    if (with_online && !costs.learner_scores) {
        costs.online = flops_of("--online", options.online, shape);
    }
    if (with_reference) costs.reference = flops_of("--reference", options.reference, shape);
    return costs;
}

std::string in_words(double flops) {
    const char* units[] = {"", "k", "M", "G", "T"};
    int unit = 0;
    for (; flops >= 1000.0 && unit < 4; ++unit) flops /= 1000.0;
    return fmt::format("{:.4g} {}FLOP", flops, units[unit]);
}

}  // namespace

int run_cost(Job& job) {
    CostOptions options;
    add_options(job.options(), options);
    job.start();
    THRESHER_CHECK_AS(UsageError, options.reference_share >= 0.0,
                      "--reference-share is {}; it must be 0 or more", options.reference_share);
    Costs costs;
    agree(job.collective(), [&] { costs = costs_of(options); });
    const CostPlan everything{.learner = costs.learner,
                              .scoring = costs.scoring(),
                              .reference_charged = costs.reference * options.reference_share,
                              .online_charged = costs.online,
                              .filter_ratio = options.filter_ratio != 0.0
                                                  ? options.filter_ratio
                                                  : find_method(options.method).filter_ratio,
                              .speedup = options.speedup};
    CostPlan amortised = everything, published = everything;
    amortised.reference_charged = 0.0;
    published.online_charged = 0.0;

    job.print("forward pass of one example");
    job.print(fmt::format("  {:<24} {}", "learner", in_words(costs.learner)));
    if (costs.online > 0.0) {
        job.print(fmt::format("  {:<24} {}", "online", in_words(costs.online)));
    }
    if (costs.reference > 0.0) {
        job.print(fmt::format("  {:<24} {}", "reference", in_words(costs.reference)));
    }
    job.print(fmt::format("  {:<24} {}", "scoring a candidate", in_words(costs.scoring())));
    job.print(
        fmt::format("\n{:<42} {:>8} {:>9}", "compute against uniform training", "ratio", "saved"));
    nlohmann::json facts{{"scoring_flops", costs.scoring()}};
    const auto show = [&](const char* name, const char* key, const CostPlan& plan) {
        const double ratio = relative_compute(plan);
        job.print(fmt::format("  {:<40} {:>8.3f} {:>7.1f} %  {}", name, ratio,
                              100.0 * (1.0 - ratio), ratio < 1.0 ? "pays" : "does not pay"));
        facts[key] = ratio;
    };
    show("everything charged", "everything_charged", everything);
    show("a reference that is there already", "reference_amortised", amortised);
    show("training of the online model not charged", "online_not_charged", published);
    const double affordable = affordable_scoring(everything);
    facts["affordable_scoring_flops"] = affordable;
    job.print(affordable > 0.0
                  ? fmt::format("\nscoring a candidate may cost up to {}, everything charged",
                                in_words(affordable))
                  : std::string("\nno scorer is cheap enough, everything charged"));
    job.finish(facts);
    return 0;
}

}  // namespace thresher::jobs
