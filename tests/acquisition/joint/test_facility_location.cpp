#include <limits>
#include <numeric>

#include "src/base/thread_team.hpp"
#include "tests/acquisition/joint/joint_support.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

using Ids = std::vector<std::int64_t>;
using Matrix = std::vector<std::vector<double>>;

/// s_ij by the definitions, in double.
Matrix similarities(const JointPool& pool, Similarity similarity) {
    const auto n = static_cast<std::size_t>(pool.rows);
    const auto d = static_cast<std::size_t>(pool.embedding_size);
    Matrix s(n, std::vector<double>(n));
    double largest = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            double dot = 0.0, aa = 0.0, bb = 0.0, square = 0.0;
            for (std::size_t c = 0; c < d; ++c) {
                const double a = pool.embeddings[i * d + c], b = pool.embeddings[j * d + c];
                dot += a * b, aa += a * a, bb += b * b, square += (a - b) * (a - b);
            }
            largest = std::max(largest, square);
            s[i][j] = similarity == Similarity::cosine ? 1.0 + dot / std::sqrt(aa * bb)
                      : similarity == Similarity::dot  ? std::max(0.0, dot)
                      : similarity == Similarity::rbf  ? std::exp(-square / static_cast<double>(d))
                                                       : -square;
        }
    }
    if (similarity == Similarity::neg_squared_distance) {
        for (auto& row : s) {
            for (double& value : row) value += largest;
        }
    }
    return s;
}

/// Greedy over all candidates at every pick; labelled rows cover from the start and are not
/// represented themselves.
Ids by_definition(const JointPool& pool, const Matrix& s, std::size_t k,
                  std::vector<double>& gains) {
    const std::size_t n = s.size();
    std::vector<double> best(n, 0.0);
    std::vector<bool> labelled(n, false), picked(n, false);
    for (std::size_t j = 0; j < pool.labelled.size(); ++j) {
        if (pool.labelled[j] == 0) continue;
        labelled[j] = true;
        for (std::size_t i = 0; i < n; ++i) best[i] = std::max(best[i], s[i][j]);
    }
    Ids ids;
    while (ids.size() < k) {
        double most = -1.0;
        std::size_t row = n;
        for (std::size_t j = 0; j < n; ++j) {
            if (labelled[j] || picked[j]) continue;
            double gain = 0.0;
            for (std::size_t i = 0; i < n; ++i) {
                if (!labelled[i]) gain += std::max(0.0, s[i][j] - best[i]);
            }
            if (gain > most) most = gain, row = j;
        }
        ids.push_back(static_cast<std::int64_t>(row));
        gains.push_back(most);
        picked[row] = true;
        for (std::size_t i = 0; i < n; ++i) best[i] = std::max(best[i], s[i][row]);
    }
    return ids;
}

void check_gains(const Picked& picked, const std::vector<double>& expected) {
    REQUIRE(picked.scores.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(close(picked.scores[i], expected[i]));
}

}  // namespace

TEST_CASE("facility location on a line picks the middle and then the far group") {
    // Squared distances to 0: 1 + 1 + 100 + 121 and so on by hand; the pair furthest apart has 144.
    const JointPool line = points({-1, 0, 1, 10, 11}, 1);
    const Picked picked =
        pick("facility-location", line, {.k = 3, .similarity = Similarity::neg_squared_distance});
    // Sums of squared distances: 270, 223, 186, 311, 390; 5 x 144 - 186.
    CHECK(picked.ids == Ids{2, 3, 0});
    // Then 10 brings 81 + 100 - 1 = 180, and 11 as much less; then 0 and -1 both bring 4.
    CHECK(picked.scores == std::vector<float>{534, 180, 4});
}

TEST_CASE("facility location picks what summing over all pairs says, under every similarity") {
    for (const Similarity similarity :
         {Similarity::cosine, Similarity::dot, Similarity::rbf, Similarity::neg_squared_distance}) {
        for (const bool warm : {false, true}) {
            INFO("similarity " << static_cast<int>(similarity) << ", labelled rows: " << warm);
            JointPool pool = random_points(300, 5, 7);
            if (warm) pool = with_labelled(pool, {0, 17, 299});
            std::vector<double> gains;
            const Ids expected = by_definition(pool, similarities(pool, similarity), 20, gains);
            const Picked picked =
                pick("facility-location", pool, {.k = 20, .similarity = similarity});
            CHECK(picked.ids == expected);
            check_gains(picked, gains);
        }
    }
}

TEST_CASE("facility location goes on by id where nothing is left to gain") {
    for (const Similarity similarity :
         {Similarity::cosine, Similarity::dot, Similarity::rbf, Similarity::neg_squared_distance}) {
        const JointPool equal = points(std::vector<float>(60, 2.0F), 2);
        Ids ascending(25);
        std::iota(ascending.begin(), ascending.end(), 0);
        const Picked picked = pick("facility-location", equal, {.k = 25, .similarity = similarity});
        CHECK(picked.ids == ascending);
        CHECK(picked.scores[1] == 0.0F);
    }
}

TEST_CASE("a zero embedding has no cosine: it is set aside; other similarities take it") {
    const JointPool pool = points({1, 0, 0, 0, 0, 1, 1, 1}, 2);
    const Picked cosine = pick("facility-location", pool, {.k = 3});
    CHECK(cosine.selectable == 3);
    REQUIRE(cosine.quarantined.size() == 1);
    CHECK(cosine.quarantined[0].id == 1);
    CHECK_THAT(cosine.quarantined[0].reason, contains("zero norm"));
    CHECK(pick("facility-location", pool, {.k = 4, .similarity = Similarity::dot}).selectable == 4);
    CHECK_THROWS_WITH(pick_over(3, "facility-location", pool, {.k = 4}),
                      contains("only 3 of the 4 rows"));
}

TEST_CASE("lazy evaluation does not show: ties of exact gains go to the lower id") {
    // A lattice, where most gains tie; every number is an integer.
    std::vector<float> values;
    const KeyedRandom random(5, Stream::synthetic, 0);
    for (std::int64_t i = 0; i < 240; ++i)
        values.push_back(static_cast<float>(random.integer(i, 4)));
    const JointPool pool = points(values, 3);
    const Matrix s = similarities(pool, Similarity::neg_squared_distance);
    std::vector<double> gains;
    const Ids expected = by_definition(pool, s, 80, gains);
    const Picked picked =
        pick("facility-location", pool, {.k = 80, .similarity = Similarity::neg_squared_distance});
    CHECK(picked.ids == expected);
    check_gains(picked, gains);
}

TEST_CASE("two rounds pick nearly as well as one, the same for any rank count") {
    const JointPool pool = random_points(1200, 4, 11);
    const JointOptions one_round{.k = 10, .seed = 2};
    JointOptions two_rounds = one_round;
    two_rounds.exact_rows = 600;
    const Matrix s = similarities(pool, Similarity::cosine);
    const auto value = [&](const Ids& ids) {
        double sum = 0.0;
        for (const auto& row : s) {
            double best = 0.0;
            for (const std::int64_t id : ids)
                best = std::max(best, row[static_cast<std::size_t>(id)]);
            sum += best;
        }
        return sum;
    };
    const Picked exact = pick("facility-location", pool, one_round);
    const Picked rounds = pick("facility-location", pool, two_rounds);
    Ids unique = rounds.ids;
    std::sort(unique.begin(), unique.end());
    CHECK(std::adjacent_find(unique.begin(), unique.end()) == unique.end());
    CHECK(value(rounds.ids) >= 0.97 * value(exact.ids));
}

TEST_CASE("the number of threads does not show in the gains of facility location") {
    const JointPool pool = random_points(2000, 12);
    const Picked one = pick_over(1, "facility-location", pool, {.k = 15});
    use_threads(3);
    const Picked three = pick_over(1, "facility-location", pool, {.k = 15});
    use_threads(1);
    CHECK(one == three);
}

TEST_CASE("an unknown similarity names those that are known") {
    CHECK(similarity_named("neg-squared-distance") == Similarity::neg_squared_distance);
    CHECK_THROWS_WITH(similarity_named("euclidean"), contains("known: cosine, dot, rbf"));
}

TEST_CASE("facility location agrees with the reference gains") {
    const nlohmann::json file = golden("selection.json");
    if (file.is_null()) return;
    nlohmann::json gauss;
    for (const auto& test : file["k_center"]) {
        if (test["name"] == "gauss_200x8_cold_start") gauss = test["points"];
    }
    for (const auto& test : file["facility_location"]) {
        const std::string name = test["name"];
        const bool rbf = name == "gauss_200x8_rbf";
        if (!rbf && name != "gauss_200x8_max_minus_squared_distance") continue;
        INFO(name);
        const Picked picked =
            pick("facility-location", points(floats(gauss), 8),
                 {.k = test["k"],
                  .similarity = rbf ? Similarity::rbf : Similarity::neg_squared_distance});
        CHECK(picked.ids == test["expected"]["picks"].get<Ids>());
        check_gains(picked, test["expected"]["gains"].get<std::vector<double>>());
    }
}
