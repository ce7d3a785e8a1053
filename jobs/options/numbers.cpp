#include "jobs/options/numbers.hpp"

#include <fmt/format.h>

namespace thresher::jobs {

namespace {

CLI::Validator numbers(bool with_zero, const char* allowed, const char* description) {
    const auto refuse = [=](const std::string& text) -> std::string {
        double value = 0.0;
        const bool is_number = CLI::detail::lexical_cast(text, value);
        if (is_number && (value > 0.0 || (with_zero && value == 0.0))) return {};
        return fmt::format("is {}; allowed are {}", text, allowed);
    };
    return CLI::Validator(refuse, description);
}

}  // namespace

CLI::Validator above_zero() { return numbers(false, "numbers above 0", "POSITIVE"); }
CLI::Validator zero_or_more() { return numbers(true, "numbers from 0 on", "NONNEGATIVE"); }

}  // namespace thresher::jobs
