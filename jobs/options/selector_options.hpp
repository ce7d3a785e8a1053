#pragma once

// The options that say how scores become a batch, shared by select and loop.

#include <CLI/CLI.hpp>

#include "src/selection/select.hpp"

namespace thresher::jobs {

struct SelectorOptions {
    std::string name = "top-k";
    double beta = 1.0, temperature = 1.0;
    bool weights = false;

    /// Throws UsageError where the temperature is not above 0.
    Selector selector(std::uint64_t seed, std::uint32_t round) const;
};

/// Adds --selector, --beta and --temperature.
void add_selector_options(CLI::App& app, SelectorOptions& options);

}  // namespace thresher::jobs
