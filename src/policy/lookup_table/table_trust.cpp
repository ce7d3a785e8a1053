#include "src/policy/lookup_table/table_trust.hpp"

#include <cmath>
#include <map>

#include "src/base/check.hpp"
#include "src/policy/lookup_table/table_check.hpp"

namespace thresher {
namespace {

/// The trainings of each record of a metric. Throws as usable_records().
std::span<const double> values_of(const LookupTable& table, const std::string& metric) {
    const auto found = table.metrics.find(metric);
    THRESHER_CHECK(found != table.metrics.end(), "the table has no metric \"{}\"", metric);
    return found->second;
}

/// NaN unless all are finite.
double mean_of(std::span<const double> trainings) {
    double sum = 0.0;
    for (const double value : trainings) sum += value;
    const double mean = sum / static_cast<double>(trainings.size());
    return std::isfinite(mean) ? mean : std::nan("");
}

double mean_of(const LookupTable& table, std::span<const double> values, std::int64_t record) {
    const auto r = static_cast<std::size_t>(table.repeats);
    return mean_of(values.subspan(static_cast<std::size_t>(record) * r, r));
}

}  // namespace

TableSpread table_spread(const LookupTable& table, const std::string& metric) {
    const std::span<const double> values = values_of(table, metric);
    const auto r = static_cast<std::size_t>(table.repeats);
    std::vector<double> means;
    double within = 0.0;  // squared deviations from the mean of each record
    for (std::size_t begin = 0; begin < values.size(); begin += r) {
        const auto trainings = values.subspan(begin, r);
        const double mean = mean_of(trainings);
        if (std::isnan(mean)) continue;
        means.push_back(mean);
        for (const double value : trainings) within += (value - mean) * (value - mean);
    }
    THRESHER_CHECK(means.size() >= 2, "{} records have a finite {}; a spread needs 2 or more",
                   means.size(), metric);
    TableSpread spread;
    spread.records = std::ssize(means);
    spread.trainings = table.repeats;
    const double n = static_cast<double>(means.size()), mean = mean_of(means);
    double of_means = 0.0;
    for (const double value : means) of_means += (value - mean) * (value - mean) / (n - 1.0);
    const double of_seeds = r < 2 ? 0.0 : within / (n * static_cast<double>(r - 1));
    const double of_subsets = std::max(0.0, of_means - of_seeds / static_cast<double>(r));
    spread.over_subsets = std::sqrt(of_subsets);
    spread.over_seeds = std::sqrt(of_seeds);
    spread.reliability = of_means > 0.0 ? of_subsets / of_means : 0.0;
    return spread;
}

TableAgreement compare_tables(const LookupTable& a, const std::string& metric_a,
                              const LookupTable& b, const std::string& metric_b) {
    THRESHER_CHECK(a.candidates_checksum == b.candidates_checksum,
                   "the tables are of other candidates; build both with the options of one "
                   "environment and one seed");
    const std::span<const double> of_a = values_of(a, metric_a), of_b = values_of(b, metric_b);
    std::map<std::vector<std::int32_t>, double> known;
    for (std::int64_t i = 0; i < a.size(); ++i) known[a.subsets.members(i)] = mean_of(a, of_a, i);
    std::vector<double> left, right;
    for (std::int64_t i = 0; i < b.size(); ++i) {
        const auto other = known.find(b.subsets.members(i));
        const double own = mean_of(b, of_b, i);
        if (other == known.end() || std::isnan(other->second) || std::isnan(own)) continue;
        left.push_back(other->second);
        right.push_back(own);
    }
    THRESHER_CHECK(left.size() >= 3, "{} subsets are in both tables; a correlation needs 3 or more",
                   left.size());
    return {std::ssize(left), rank_correlation(left, right)};
}

std::vector<double> class_coverage(const LookupTable& table) {
    const CandidateFacts& facts = table.facts;
    std::vector<double> coverage;
    if (facts.label_counts.empty()) return coverage;
    const auto classes =
        facts.label_counts.size() / static_cast<std::size_t>(table.subsets.candidates());
    for (std::int64_t i = 0; i < table.size(); ++i) {
        std::vector<double> counts(classes, 0.0);
        for (const std::int32_t candidate : table.subsets.members(i)) {
            const auto first = static_cast<std::size_t>(candidate) * classes;
            for (std::size_t c = 0; c < classes; ++c) {
                counts[c] += double{facts.label_counts[first + c]};
            }
        }
        double sum = 0.0;
        for (const double count : counts) sum += std::log1p(count);
        coverage.push_back(sum);
    }
    return coverage;
}

std::optional<TableAgreement> compare_with_coverage(const LookupTable& table,
                                                    const std::string& metric) {
    const std::vector<double> coverage = class_coverage(table);
    if (coverage.empty()) return std::nullopt;
    const std::span<const double> values = values_of(table, metric);
    std::vector<double> of_finite, means;
    for (std::int64_t i = 0; i < table.size(); ++i) {
        const double mean = mean_of(table, values, i);
        if (std::isnan(mean)) continue;
        of_finite.push_back(coverage[static_cast<std::size_t>(i)]);
        means.push_back(mean);
    }
    return TableAgreement{std::ssize(means), rank_correlation(of_finite, means)};
}

}  // namespace thresher
