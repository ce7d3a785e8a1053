#include "src/policy/signatures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace thresher {

namespace {

constexpr std::size_t kWindow = 20;    // updates over which a curve is judged
constexpr std::size_t kRefreshes = 3;  // and refreshes

std::span<const double> curve(const Curves& curves, const std::string& name) {
    const auto found = curves.find(name);
    return found == curves.end() ? std::span<const double>{} : std::span(found->second);
}

/// Over what is not NaN; NaN where nothing is.
double mean(std::span<const double> values) {
    double sum = 0.0, count = 0.0;
    for (const double value : values) {
        if (std::isnan(value)) continue;
        sum += value;
        count += 1.0;
    }
    return sum / count;
}

std::optional<std::string> stalled(const Curves& curves, std::int64_t updates) {
    const auto gain = curve(curves, "gain");
    if (2 * std::ssize(gain) < updates || gain.size() < 2 * kWindow) return std::nullopt;
    const double before = mean(gain.first(kWindow)), now = mean(gain.last(kWindow));
    if (!(now - before < 0.25 && now < 1.0)) return std::nullopt;  // or it learned at once
    return fmt::format(
        "the reward is {:+.2f} standard deviations of random batches, after {:+.2f} "
        "in the first {} updates",
        now, before, kWindow);
}

/// The first refreshes find what the first records could not tell; so later ones count.
std::optional<std::string> table_too_small(const Curves& curves, std::int64_t) {
    const auto every_error = curve(curves, "estimate_error"),
               every_spread = curve(curves, "retrained_spread");
    std::vector<double> errors, spreads;
    for (std::size_t i = 0; i < every_error.size(); ++i) {
        if (std::isnan(every_error[i])) continue;  // nothing new was proposed
        errors.push_back(every_error[i]);
        spreads.push_back(every_spread[i]);
    }
    if (errors.size() < 2 * kRefreshes) return std::nullopt;
    const double error = mean(std::span(errors).last(kRefreshes));
    const double spread = mean(std::span(spreads).last(kRefreshes));
    if (!(error > spread)) return std::nullopt;
    return fmt::format(
        "estimates are off by {:.3g} (root mean square), and rewards differ by {:.3g}", error,
        spread);
}

std::optional<std::string> one_sided(const Curves& curves, const std::string& name,
                                     const char* kind) {
    const auto share = curve(curves, name);
    if (share.size() < kWindow) return std::nullopt;
    const double now = mean(share.last(kWindow));
    if (!(now > 0.95)) return std::nullopt;
    return fmt::format(
        "{:.0f} % of the picks are among the {} candidates, twice as many as are "
        "picked",
        100.0 * now, kind);
}

std::optional<std::string> all_hard(const Curves& curves, std::int64_t) {
    return one_sided(curves, "hard_share", "hardest");
}

std::optional<std::string> all_easy(const Curves& curves, std::int64_t) {
    return one_sided(curves, "easy_share", "easiest");
}

std::optional<std::string> collapsed(const Curves& curves, std::int64_t updates) {
    const auto entropy = curve(curves, "entropy");
    if (entropy.empty() || 2 * std::ssize(entropy) > updates) return std::nullopt;
    if (!(entropy.back() < 0.05)) return std::nullopt;
    return fmt::format("after {} of {} updates the entropy is {:.1f} % of the uniform law's",
                       entropy.size(), updates, 100.0 * entropy.back());
}

std::optional<std::string> diverged(const Curves& curves, std::int64_t) {
    const auto norm = curve(curves, "gradient_norm");
    if (norm.empty()) return std::nullopt;
    if (!std::isfinite(norm.back())) {
        return fmt::format("the gradient of update {} is not finite", norm.size());
    }
    if (norm.size() <= kWindow) return std::nullopt;
    std::vector<double> first(norm.begin(), norm.begin() + kWindow);
    std::nth_element(first.begin(), first.begin() + kWindow / 2, first.end());
    const double usual = first[kWindow / 2];
    if (!(usual > 0.0 && norm.back() > 100.0 * usual)) return std::nullopt;
    return fmt::format("the norm of the gradient is {:.3g}, {:.0f} times that of the beginning",
                       norm.back(), norm.back() / usual);
}

constexpr Signature kSignatures[]{
    {"reward stalls",
     "more rollouts, another head, features that tell the candidates apart, or a larger table",
     stalled},
    {"table too small", "more records, or a refresh more often", table_too_small},
    {"picks all hard", "rewards on more examples; compare with top-k by entropy, which is cheaper",
     all_hard},
    {"picks all easy", "a longer training of the proxy, or more labels to begin with", all_easy},
    {"entropy collapsed early", "an entropy bonus, or a smaller learning rate", collapsed},
    {"controller diverges", "a smaller learning rate or gradient clip; look for odd features",
     diverged}};

}  // namespace

std::vector<std::string> new_signatures(const Curves& curves, std::int64_t updates,
                                        std::vector<std::string>& reported) {
    std::vector<std::string> lines;
    for (const Signature& signature : kSignatures) {
        const std::string name(signature.name);
        if (std::find(reported.begin(), reported.end(), name) != reported.end()) continue;
        const auto shown = signature.detect(curves, updates);
        if (!shown) continue;
        reported.push_back(name);
        lines.push_back(fmt::format("{}: {}; try {}", name, *shown, signature.remedy));
    }
    return lines;
}

}  // namespace thresher
