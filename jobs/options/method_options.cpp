#include "jobs/options/method_options.hpp"

#include <fmt/ranges.h>

#include "jobs/options/numbers.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"

namespace thresher::jobs {

void MethodOptions::set(TrainOptions& train) const {
    train.method = method;
    train.filter_ratio = chosen().acquisition.empty() ? 0.0 : filter_ratio;
    train.temperature = temperature;
    train.chunks = chunks;
    train.importance_weights = importance_weights;
    train.scoring = {scoring_resolution, scoring_dtype == "bf16", score_clip};
}

void add_method_options(CLI::App& app, MethodOptions& options) {
    const std::string group = "Prioritised training";
    app.add_option("--method", options.method,
                   "How the rows of an update are chosen; see thresher list methods")
        ->group(group);
    app.add_option("--filter-ratio", options.filter_ratio,
                   "Candidates scored for each row trained on; 0 = the method's own")
        ->group(group);
    app.add_option("--temperature", options.temperature,
                   "Rows are drawn in proportion to softmax(score / temperature)")
        ->group(group);
    app.add_option("--chunks", options.chunks,
                   "jest: draws that make up a batch, each made given those before it")
        ->group(group);
    app.add_flag("--importance-weights", options.importance_weights,
                 "Weigh the loss of each row that was drawn so that it is on average that of all "
                 "candidates")
        ->group(group);
    app.add_option("--score-clip", options.score_clip,
                   "Limit scores to +- this before the temperature, so that one candidate cannot "
                   "take the whole choice; 0 = leave them as they are")
        ->group(group);
    app.add_option("--scoring-resolution", options.scoring_resolution,
                   "Candidates are scored on images whose sides are scaled by this, 0 to 1; models "
                   "with a residual network alone")
        ->group(group);
    app.add_option("--scoring-dtype", options.scoring_dtype,
                   "Candidates are scored in this; training stays in float32")
        ->check(CLI::IsMember({"float32", "bf16"}))
        ->group(group);
    app.add_option("--online", options.online,
                   "Small model that scores and is trained beside the learner: a built-in model, a "
                   "model file, or \"learner\" (which then scores itself); empty: as the reference")
        ->group(group);
    app.add_option("--online-hidden", options.online_hidden, "mlp: widths of its hidden layers")
        ->delimiter(',')
        ->check(above_zero())
        ->group(group);
    add_tower_options(app, options.online_towers, "online-", group);
    app.add_option("--reference", options.reference,
                   "Pretrained model file, frozen; or \"online\": a second model such as --online, "
                   "trained on all candidates at twice the learning rate")
        ->group(group);
    app.add_option("--reference-losses", options.reference_losses,
                   "Predictions file whose /losses/reference are looked up, instead of a reference")
        ->group(group);
}

void check_method(const MethodOptions& options) {
    const Method& method = options.chosen();
    const bool online = needs_online(method), reference = needs_reference(method);
    THRESHER_CHECK_AS(UsageError, options.reference.empty() || options.reference_losses.empty(),
                      "--reference and --reference-losses were both given; one of them says what "
                      "is easy");
    if (reference) {
        THRESHER_CHECK_AS(UsageError,
                          !options.reference.empty() || !options.reference_losses.empty(),
                          "method {} scores by {}: give --reference (a model file, or online) or "
                          "--reference-losses (a predictions file)",
                          method.name, method.formula);
    }
    THRESHER_CHECK_AS(
        UsageError, !options.trains_reference() || options.names_online(),
        "--reference online trains a model such as --online: give --online a built-in "
        "model or a model file");
    if (online && !options.learner_scores()) {
        THRESHER_CHECK_AS(
            UsageError, !options.online.empty() || !options.reference.empty(),
            "method {} scores by {}: give --online (a built-in model, a model file, or learner)",
            method.name, method.formula);
    }
    std::vector<std::string> unread;
    const auto note = [&](bool read, bool given, const char* option) {
        if (given && !read) unread.emplace_back(option);
    };
    const bool makes_one =
        (online && !options.learner_scores()) || (reference && options.trains_reference());
    note(makes_one || (online && !method.learner_scores), !options.online.empty(), "--online");
    note(makes_one && (options.online == "mlp" || options.online_towers.image == "mlp"),
         !options.online_hidden.empty(), "--online-hidden");
    note(makes_one && is_built_in_model(options.online), options.online_towers.any(),
         "the shape of the online model's towers");
    note(reference || (makes_one && options.online.empty()), !options.reference.empty(),
         "--reference");
    note(reference, !options.reference_losses.empty(), "--reference-losses");
    note(!method.acquisition.empty(), options.filter_ratio > 1.0, "--filter-ratio");
    note(method.selector == "softmax", options.temperature != 1.0, "--temperature");
    note(!method.acquisition.empty() && !method.joint, options.score_clip != 0.0, "--score-clip");
    note(method.joint, options.chunks != MethodOptions{}.chunks, "--chunks");
    if (!unread.empty())
        log::warn("method {} does not read {} here", method.name, fmt::join(unread, ", "));
}

}  // namespace thresher::jobs
