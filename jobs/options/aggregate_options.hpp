#pragma once

// The options that say how the scores of boxes become the score of an image.

#include <CLI/CLI.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/acquisition/aggregation.hpp"

namespace thresher::jobs {

struct AggregateOptions {
    std::string kind = "max";
    std::int64_t top = 3;
    std::vector<float> class_weights;

    /// Refers to the weights.
    BoxAggregation aggregation() const;
    /// In one line, for files and for settings of a run that is resumed.
    std::string text() const;
};

/// Adds --aggregate, --aggregate-top and --class-weights.
void add_aggregate_options(CLI::App& app, AggregateOptions& options);

/// Throws UsageError for a number out of range, or where options were given but `needs`, in the
/// words of Acquisition::needs, hold no boxes. Local.
void check_aggregation(const AggregateOptions& options, std::span<const std::string_view> needs);

/// Throws UsageError unless there is a weight for each of `classes`, or none. Local.
void check_class_weights(std::span<const float> weights, std::int64_t classes);

}  // namespace thresher::jobs
