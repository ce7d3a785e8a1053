#include <numeric>

#include "src/acquisition/joint/configurations.hpp"
#include "tests/acquisition/joint/joint_support.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

using Ids = std::vector<std::int64_t>;

JointPool predictions(std::vector<float> log_probs, std::int64_t samples, std::int64_t classes) {
    JointPool pool;
    pool.rows = static_cast<std::int64_t>(log_probs.size()) / (samples * classes);
    pool.log_probs = std::move(log_probs);
    pool.samples = samples;
    pool.classes = classes;
    return pool;
}

JointPool of_probabilities(std::vector<float> p, std::int64_t samples, std::int64_t classes) {
    for (float& value : p) value = std::log(value);
    return predictions(std::move(p), samples, classes);
}

double probability(const JointPool& pool, std::int64_t row, std::int64_t s, std::int64_t c) {
    return std::exp(double{
        pool.log_probs[static_cast<std::size_t>((row * pool.samples + s) * pool.classes + c)]});
}

/// I(y_1..y_b; sample) by summing over all configurations.
double mutual_information(const JointPool& pool, const Ids& rows) {
    std::int64_t configurations = 1;
    for (std::size_t i = 0; i < rows.size(); ++i) configurations *= pool.classes;
    double joint = 0.0, conditional = 0.0;
    for (std::int64_t code = 0; code < configurations; ++code) {
        double mean = 0.0;
        for (std::int64_t s = 0; s < pool.samples; ++s) {
            double p = 1.0;
            std::int64_t rest = code;
            for (const std::int64_t row : rows) {
                p *= probability(pool, row, s, rest % pool.classes);
                rest /= pool.classes;
            }
            mean += p / static_cast<double>(pool.samples);
            if (p > 0.0) conditional -= p * std::log(p) / static_cast<double>(pool.samples);
        }
        if (mean > 0.0) joint -= mean * std::log(mean);
    }
    return joint - conditional;
}

/// Greedy by the definition.
Ids by_definition(const JointPool& pool, std::size_t k, std::vector<double>& gains) {
    Ids picked;
    double so_far = 0.0;
    while (picked.size() < k) {
        double best = -1.0;
        std::int64_t best_row = -1;
        for (std::int64_t row = 0; row < pool.rows; ++row) {
            if (std::find(picked.begin(), picked.end(), row) != picked.end()) continue;
            Ids with = picked;
            with.push_back(row);
            const double information = mutual_information(pool, with);
            if (information > best + 1e-12) best = information, best_row = row;
        }
        picked.push_back(best_row);
        gains.push_back(best - so_far);
        so_far = best;
    }
    return picked;
}

void check_cumulative(const Picked& picked, const std::vector<double>& expected) {
    double sum = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        sum += double{picked.scores[i]};
        CHECK(close(sum, expected[i]));
    }
}

}  // namespace

TEST_CASE("batchbald picks what summing over all configurations says") {
    for (const std::int64_t classes : {2, 3, 5}) {
        JointPool pool;
        pool.rows = 40;
        add_random_predictions(pool, 4, classes, 2.0);
        std::vector<double> gains;
        const Ids expected = by_definition(pool, 4, gains);
        const Picked picked = pick("batchbald", pool, {.k = 4});
        CHECK(picked.ids == expected);
        for (std::size_t i = 0; i < 4; ++i) CHECK(close(picked.scores[i], gains[i]));
    }
}

TEST_CASE("rows scored by their bounds are the rows that scoring all of them would pick") {
    // Bounds pay where there are many rows; the first two picks are checked against all pairs.
    JointPool pool;
    pool.rows = 300;
    add_random_predictions(pool, 5, 3, 2.0);
    std::vector<double> gains;
    const Ids expected = by_definition(pool, 3, gains);
    CHECK(pick("batchbald", pool, {.k = 3}).ids == expected);
}

TEST_CASE("a duplicate of an informative row adds what a second look at it is worth") {
    // Two samples that contradict each other for certain: one bit, and nothing left after it.
    const JointPool certain = of_probabilities({1, 0, 0, 1, 1, 0, 0, 1, .5F, .5F, .5F, .5F}, 2, 2);
    const Picked picked = pick("batchbald", certain, {.k = 3});
    CHECK(picked.ids == Ids{0, 1, 2});
    CHECK(picked.scores[0] == Approx(std::log(2.0)));
    CHECK(picked.scores[1] == 0.0F);
    CHECK(picked.scores[2] == 0.0F);
}

TEST_CASE("samples that agree give exactly nothing, however many labels and configurations") {
    const KeyedRandom random(8, Stream::synthetic, 0);
    for (const std::int64_t samples : {2, 3, 7, 10}) {
        std::vector<float> log_probs;
        for (std::int64_t row = 0; row < 30; ++row) {
            std::vector<double> p;
            double sum = 0.0;
            for (std::int64_t c = 0; c < 7; ++c) sum += p.emplace_back(random.uniform(row * 7 + c));
            for (std::int64_t s = 0; s < samples; ++s) {
                for (const double value : p)
                    log_probs.push_back(static_cast<float>(std::log(value / sum)));
            }
        }
        const Picked picked = pick("batchbald", predictions(log_probs, samples, 7), {.k = 5});
        CHECK(picked.ids == Ids{0, 1, 2, 3, 4});
        CHECK(picked.scores == std::vector<float>(5, 0.0F));
    }
}

TEST_CASE("the probability 0 is legal in batchbald") {
    const float inf = std::numeric_limits<float>::infinity();
    const JointPool pool =
        predictions({0, -inf, -inf, 0, std::log(.5F), std::log(.5F), 0, -inf}, 2, 2);
    const Picked picked = pick("batchbald", pool, {.k = 2});
    CHECK(picked.ids == Ids{0, 1});
    CHECK(picked.scores[0] == Approx(std::log(2.0)));
    CHECK(picked.scores[1] == 0.0F);  // once the sample is known, nothing is to be learnt
}

TEST_CASE("sampled configurations estimate the exact gains without bias") {
    constexpr std::size_t kSamples = 6, kClasses = 3;
    JointPool pool;
    pool.rows = 9;
    add_random_predictions(pool, kSamples, kClasses, 1.5);
    const auto row_of = [&](std::size_t row) {
        RowProbabilities probabilities(kSamples, kClasses);
        probabilities.set(
            std::span(pool.log_probs).subspan(row * kSamples * kClasses, kSamples * kClasses));
        return probabilities;
    };
    const RowProbabilities further = row_of(8);
    std::vector<double> estimates;
    for (std::uint32_t round = 0; round < 200; ++round) {
        const KeyedRandom random(1, Stream::batchbald, round);
        Configurations exact(kSamples, kClasses, 1'000'000, random);
        Configurations sampled(kSamples, kClasses, 900, random);  // exact up to 6 rows
        for (std::size_t row = 0; row < 7; ++row) {
            exact.add(row_of(row));
            sampled.add(row_of(row));
            CHECK(exact.exact());
            CHECK(sampled.exact() == (row < 5));
        }
        CHECK(sampled.size() == 300);
        const double mean_entropy = further.mean_entropy();
        estimates.push_back(sampled.information_gain(further, mean_entropy) /
                            exact.information_gain(further, mean_entropy));
    }
    const double mean = std::accumulate(estimates.begin(), estimates.end(), 0.0) / 200.0;
    double variance = 0.0;
    for (const double estimate : estimates) variance += std::pow(estimate - mean, 2) / 199.0;
    CHECK(std::sqrt(variance) < 0.1);
    CHECK(std::abs(mean - 1.0) <= 5.0 * std::sqrt(variance / 200.0));
}

TEST_CASE("batches beyond the limit of configurations are drawn, and the same for any rank count") {
    JointPool pool;
    pool.rows = 120;
    add_random_predictions(pool, 4, 6, 2.0);
    const Picked exact = pick("batchbald", pool, {.k = 3});
    const Picked sampled = pick("batchbald", pool, {.k = 12, .seed = 5, .configurations = 1296});
    CHECK(std::equal(exact.ids.begin(), exact.ids.end(), sampled.ids.begin()));
    Ids unique = sampled.ids;
    std::sort(unique.begin(), unique.end());
    CHECK(std::adjacent_find(unique.begin(), unique.end()) == unique.end());
}

TEST_CASE("batchbald refuses a single sample and says which strategies give more") {
    JointPool pool;
    pool.rows = 4;
    add_random_predictions(pool, 1, 3);
    CHECK_THROWS_AS(pick_over(2, "batchbald", pool, {.k = 1}), UsageError);
    CHECK_THROWS_WITH(pick_over(2, "batchbald", pool, {.k = 1}),
                      contains("monte-carlo or ensemble"));
}

TEST_CASE("batchbald agrees with the reference scores") {
    const nlohmann::json file = golden("acquisitions.json");
    if (file.is_null()) return;
    for (const auto& test : file["batchbald"]) {
        INFO(test["name"]);
        const auto& shape = test["probs"]["shape"];
        const JointPool pool = predictions(logs(test["probs"]), shape[1], shape[2]);
        const auto& expected = test["expected"];
        const auto order = expected["order_exact_arithmetic_lowest_id_on_ties"].get<Ids>();
        const Picked picked =
            pick("batchbald", pool, {.k = static_cast<std::int64_t>(order.size())});
        check_cumulative(picked, expected["cumulative_scores"].get<std::vector<double>>());
        const auto gaps = expected["gap_to_runner_up"];
        bool tied = false;
        for (std::size_t i = 0; i < order.size() && !tied; ++i) {
            tied = gaps[i].is_null() || gaps[i].get<double>() < 1e-6;
            if (!tied) CHECK(picked.ids[i] == order[i]);
        }
    }
}

TEST_CASE("information and entropies add up to the reference joint entropies") {
    const nlohmann::json file = golden("acquisitions.json");
    if (file.is_null()) return;
    const auto& test = file["joint_entropy"];
    for (const auto& expected : test["expected"]) {
        INFO(expected["variables"]);
        const std::size_t samples = 20, classes = 4;
        Configurations configurations(samples, classes, 1'000'000,
                                      KeyedRandom(0, Stream::batchbald, 0));
        double entropy = 0.0;
        for (const auto& name : expected["variables"]) {
            RowProbabilities row(samples, classes);
            row.set(name == "uniform4" ? std::vector<float>(samples * classes, std::log(0.25F))
                                       : logs(test[name.get<std::string>()]));
            entropy += configurations.information_gain(row, row.mean_entropy());
            entropy += row.mean_entropy();
            configurations.add(row);
        }
        CHECK(close(entropy, expected["joint_entropy"]));
    }
}
