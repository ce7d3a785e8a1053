#include "jobs/options/selector_options.hpp"

#include "src/base/check.hpp"

namespace thresher::jobs {

void add_selector_options(CLI::App& app, SelectorOptions& options) {
    app.add_option("--selector", options.name,
                   "How scores become a batch: top-k, softmax, power or softrank; see thresher "
                   "list selectors");
    app.add_option(
        "--beta", options.beta,
        "softmax, power, softrank: how closely a draw follows the scores; 0 = not at all");
    app.add_option("--temperature", options.temperature, "The same as --beta 1/T");
}

Selector SelectorOptions::selector(std::uint64_t seed, std::uint32_t round) const {
    THRESHER_CHECK_AS(UsageError, temperature > 0.0,
                      "--temperature is {}; it must be above 0 (use top-k for the limit)",
                      temperature);
    THRESHER_CHECK_AS(UsageError, temperature == 1.0 || beta == 1.0,
                      "--temperature {} and --beta {} were both given; they say the same: give one",
                      temperature, beta);
    return {.name = name,
            .beta = temperature != 1.0 ? 1.0 / temperature : beta,
            .seed = seed,
            .round = round,
            .inclusion = weights};
}

}  // namespace thresher::jobs
