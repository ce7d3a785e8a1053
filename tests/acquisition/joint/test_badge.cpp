#include <array>
#include <limits>

#include "tests/acquisition/joint/joint_support.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

/// Gradient embeddings in full, [rows, C d], from the mean prediction.
std::vector<std::vector<double>> gradients(const JointPool& pool) {
    std::vector<std::vector<double>> all;
    for (std::int64_t row = 0; row < pool.rows; ++row) {
        std::vector<double> p(static_cast<std::size_t>(pool.classes), 0.0);
        for (std::int64_t s = 0; s < pool.samples; ++s) {
            for (std::size_t c = 0; c < p.size(); ++c) {
                p[c] +=
                    std::exp(double{pool.log_probs[static_cast<std::size_t>(
                                                       (row * pool.samples + s) * pool.classes) +
                                                   c]}) /
                    static_cast<double>(pool.samples);
            }
        }
        *std::max_element(p.begin(), p.end()) -= 1.0;
        std::vector<double>& gradient = all.emplace_back();
        for (const double factor : p) {
            for (std::int64_t j = 0; j < pool.embedding_size; ++j) {
                gradient.push_back(
                    factor *
                    pool.embeddings[static_cast<std::size_t>(row * pool.embedding_size + j)]);
            }
        }
    }
    return all;
}

double squared_distance(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/// Shares of `rounds` batches of two whose second pick is each row.
std::vector<double> second_picks(const JointPool& pool, std::uint32_t rounds) {
    std::vector<double> shares(static_cast<std::size_t>(pool.rows), 0.0);
    for (std::uint32_t round = 0; round < rounds; ++round) {
        const Picked picked = pick_over(1, "badge", pool, {.k = 2, .seed = 9, .round = round});
        shares[static_cast<std::size_t>(picked.ids[1])] += 1.0 / rounds;
    }
    return shares;
}

void check_law(const std::vector<double>& shares, const std::vector<double>& law,
               std::uint32_t rounds) {
    for (std::size_t i = 0; i < law.size(); ++i) {
        INFO("row " << i << ": " << shares[i] << " of " << law[i]);
        CHECK(std::abs(shares[i] - law[i]) <=
              5.0 * std::sqrt(law[i] * (1.0 - law[i]) / rounds) + 1e-12);
    }
}

}  // namespace

TEST_CASE("badge picks the largest gradient first and reports distances in gradient space") {
    JointPool pool = random_points(200, 7);
    add_random_predictions(pool, 3, 5);
    const auto full = gradients(pool);
    const Picked picked = pick("badge", pool, {.k = 30, .seed = 4});
    std::size_t largest = 0;
    const std::vector<double> origin(full[0].size(), 0.0);
    for (std::size_t i = 0; i < full.size(); ++i) {
        if (squared_distance(full[i], origin) > squared_distance(full[largest], origin))
            largest = i;
    }
    REQUIRE(picked.ids[0] == static_cast<std::int64_t>(largest));
    CHECK(picked.scores[0] == Approx(std::sqrt(squared_distance(full[largest], origin))));
    for (std::size_t i = 1; i < picked.ids.size(); ++i) {
        double nearest = std::numeric_limits<double>::infinity();
        for (std::size_t before = 0; before < i; ++before) {
            CHECK(picked.ids[before] != picked.ids[i]);
            nearest = std::min(
                nearest, squared_distance(full[static_cast<std::size_t>(picked.ids[i])],
                                          full[static_cast<std::size_t>(picked.ids[before])]));
        }
        CHECK(picked.scores[i] == Approx(std::sqrt(nearest)).epsilon(1e-5));
    }
}

TEST_CASE("the second pick of badge follows the squared distances to the first") {
    JointPool pool = random_points(5, 4, 3);
    add_random_predictions(pool, 1, 3);
    const auto full = gradients(pool);
    const std::vector<double> origin(full[0].size(), 0.0);
    std::size_t first = 0;
    for (std::size_t i = 0; i < full.size(); ++i) {
        if (squared_distance(full[i], origin) > squared_distance(full[first], origin)) first = i;
    }
    double total = 0.0;
    for (const auto& gradient : full) total += squared_distance(gradient, full[first]);
    std::vector<double> law;
    for (const auto& gradient : full)
        law.push_back(squared_distance(gradient, full[first]) / total);
    check_law(second_picks(pool, 20000), law, 20000);
}

TEST_CASE("badge never picks a duplicate of a pick while others are left") {
    JointPool pool = points({1, 2, 1, 2, 0.5, 0.25, 1, 2, 3, 1}, 2);
    pool.samples = 1;
    pool.classes = 2;
    for (const float p : {0.7F, 0.7F, 0.6F, 0.7F, 0.9F}) {
        pool.log_probs.push_back(std::log(p));
        pool.log_probs.push_back(std::log(1.0F - p));
    }
    for (std::uint32_t round = 0; round < 200; ++round) {
        const Picked picked = pick_over(2, "badge", pool, {.k = 5, .round = round});
        CHECK(picked.ids[0] == 0);  // 0, 1 and 3 are the same row: the lowest id
        CHECK(picked.scores[2] > 0.0F);
        CHECK(picked.ids[3] == 1);  // at distance 0, by id
        CHECK(picked.ids[4] == 3);
        CHECK(picked.scores[3] == 0.0F);
    }
}

TEST_CASE("badge sets aside rows whose predictions or embeddings cannot be used") {
    JointPool pool = random_points(6, 3);
    add_random_predictions(pool, 2, 4);
    pool.embeddings[4] = NAN;
    pool.log_probs[2 * 8 + 1] = NAN;
    pool.log_probs[3 * 8 + 5] = 0.5F;
    const Picked picked = pick("badge", pool, {.k = 3});
    CHECK(picked.selectable == 3);
    REQUIRE(picked.quarantined.size() == 3);
    CHECK(picked.quarantined[0].reason == "embedding is not finite");
    CHECK(picked.quarantined[1].reason == "predictions are no probabilities that sum to 1");
    CHECK(picked.quarantined[2].id == 3);
}

TEST_CASE("badge agrees with the reference norms and laws") {
    const nlohmann::json file = golden("selection.json");
    if (file.is_null()) return;
    for (const auto& test : file["badge"]) {
        INFO(test["name"]);
        const auto& expected = test["expected"];
        JointPool pool = points(floats(test["embeddings"]), test["embeddings"]["shape"][1]);
        pool.samples = 1;
        pool.classes = test["probs"]["shape"][1];
        pool.log_probs = logs(test["probs"]);
        const Picked first = pick("badge", pool, {.k = 1});
        REQUIRE(first.ids[0] == expected["first_pick"].get<std::int64_t>());
        CHECK(close(first.scores[0],
                    expected["gradient_norm"][static_cast<std::size_t>(first.ids[0])]));
        if (expected["second_pick_probability"].is_null()) continue;
        check_law(second_picks(pool, 20000),
                  expected["second_pick_probability"].get<std::vector<double>>(), 20000);
        if (!expected.contains("three_picks")) continue;
        for (const auto& triple : expected["three_picks"]) {
            const auto ids = triple["ids"].get<std::vector<std::int64_t>>();
            int hits = 0;
            for (std::uint32_t round = 0; round < 4000; ++round) {
                hits += pick_over(1, "badge", pool, {.k = 3, .seed = 1, .round = round}).ids == ids;
            }
            const double p = triple["p"];
            CHECK(std::abs(hits / 4000.0 - p) <= 5.0 * std::sqrt(p * (1.0 - p) / 4000.0) + 1e-12);
        }
    }
}
