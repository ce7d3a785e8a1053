#include "jobs/steps/policy/estimate_fidelity.hpp"

#include <fmt/format.h>

#include "src/base/spread.hpp"
#include "src/policy/heads/heads.hpp"
#include "src/policy/lookup_table/table_check.hpp"

namespace thresher::jobs {

namespace {

constexpr std::int64_t kBatches = 200;         // of a kind, in an environment
constexpr std::uint32_t kUpdate = 0xFFFFFFFE;  // in place of one, for draws of its own

struct Pairs {
    std::vector<double> predicted, retrained;
};

Pairs pairs_of(const Ground& ground, std::span<const std::int32_t> batches, std::int64_t picks) {
    Pairs pairs{std::vector<double>(kBatches), std::vector<double>(kBatches)};
    ground.table->evaluate(batches, picks, pairs.predicted);
    ground.reward->evaluate(batches, picks, pairs.retrained);
    return pairs;
}

void add(io::RunRecord& record, const std::string& name, const char* description,
         const std::vector<double>& values) {
    io::Curve& curve = record.curves["fidelity/" + name];
    curve.values.insert(curve.values.end(), values.begin(), values.end());
    curve.shape = {std::ssize(curve.values) / kBatches, kBatches};
    curve.description = description;
}

}  // namespace

void compare_estimates(const Ground& ground, const Policy& policy, std::int64_t picks,
                       io::RunRecord& record) {
    const Draw draw{.rollouts = kBatches, .picks = picks, .seed = ground.seed, .update = kUpdate};
    std::vector<std::int32_t> own;
    for (const auto& batch : draw_batches(policy, ground.candidates, draw).picks)
        own.insert(own.end(), batch.begin(), batch.end());
    const auto random = random_batches(ground.candidates.rows, draw);
    for (const auto& [kind, batches] : {std::pair{"random", &random}, {"policy", &own}}) {
        const Pairs pairs = pairs_of(ground, *batches, picks);
        add(record, fmt::format("{}_predicted", kind),
            "what the table estimates of batches, by environment", pairs.predicted);
        add(record, fmt::format("{}_retrained", kind), "what retraining gives for them",
            pairs.retrained);
    }
}

std::map<std::string, double> rank_correlations(const io::RunRecord& record) {
    std::map<std::string, double> correlations;
    for (const char* kind : {"random", "policy"}) {
        const auto predicted = record.curves.find(fmt::format("fidelity/{}_predicted", kind));
        if (predicted == record.curves.end()) continue;
        const auto& retrained = record.curves.at(fmt::format("fidelity/{}_retrained", kind));
        std::vector<double> found;
        for (std::size_t i = 0; i < retrained.values.size(); i += kBatches) {
            found.push_back(
                rank_correlation(std::span(predicted->second.values).subspan(i, kBatches),
                                 std::span(retrained.values).subspan(i, kBatches)));
        }
        correlations[kind] = spread_of(found).mean;
    }
    return correlations;
}

std::string described(const std::map<std::string, double>& correlations) {
    return fmt::format(
        "estimates against retraining: rank correlation {:.2f} over random batches, {:.2f} over "
        "the "
        "policy's (means over environments)",
        correlations.at("random"), correlations.at("policy"));
}

}  // namespace thresher::jobs
