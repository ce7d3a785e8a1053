#include "jobs/options/aggregate_options.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "jobs/options/numbers.hpp"
#include "src/base/check.hpp"

namespace thresher::jobs {

BoxAggregation AggregateOptions::aggregation() const {
    const auto found = std::find_if(aggregates().begin(), aggregates().end(),
                                    [&](const AggregateInfo& known) { return known.name == kind; });
    THRESHER_CHECK(found != aggregates().end(), "--aggregate {} is not known", kind);
    return {found->kind, top, class_weights};
}

std::string AggregateOptions::text() const {
    std::string text = kind == "top-n" ? fmt::format("{} {}", kind, top) : kind;
    if (!class_weights.empty()) text += fmt::format(", weights {}", fmt::join(class_weights, ","));
    return text;
}

void add_aggregate_options(CLI::App& app, AggregateOptions& options) {
    std::vector<std::string> names;
    for (const AggregateInfo& known : aggregates()) names.emplace_back(known.name);
    app.add_option("--aggregate", options.kind,
                   "box-*: what the boxes of an image make its score: max, mean, sum or top-n")
        ->check(CLI::IsMember(names));
    app.add_option("--aggregate-top", options.top, "--aggregate top-n: mean of so many best boxes")
        ->check(above_zero());
    app.add_option("--class-weights", options.class_weights,
                   "box-*: a weight for each class, by which the scores of its boxes count")
        ->delimiter(',');
}

void check_aggregation(const AggregateOptions& options, std::span<const std::string_view> needs) {
    const AggregateOptions none;
    const bool given =
        options.kind != none.kind || options.top != none.top || !options.class_weights.empty();
    const bool used = std::find(needs.begin(), needs.end(), "boxes") != needs.end();
    THRESHER_CHECK_AS(UsageError, used || !given,
                      "--aggregate, --aggregate-top and --class-weights say how the scores of "
                      "boxes become that of an image, but no acquisition here reads boxes; leave "
                      "them out, or use box-entropy, box-margin, box-least-confidence, "
                      "box-flip or box-discrepancy");
    THRESHER_CHECK_AS(UsageError, options.kind == "top-n" || options.top == none.top,
                      "--aggregate-top is for --aggregate top-n, not {}; leave it out, or use "
                      "top-n",
                      options.kind);
    for (const float weight : options.class_weights) {
        THRESHER_CHECK_AS(UsageError, std::isfinite(weight) && weight >= 0.0F,
                          "--class-weights has {}; allowed: 0 and more", weight);
    }
}

void check_class_weights(std::span<const float> weights, std::int64_t classes) {
    THRESHER_CHECK_AS(UsageError, weights.empty() || std::cmp_equal(weights.size(), classes),
                      "--class-weights has {} weights, but there are {} classes; give one for "
                      "each, or none",
                      weights.size(), classes);
}

}  // namespace thresher::jobs
