#include <cmath>

#include "src/policy/candidate_features.hpp"
#include "tests/policy/policy_support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

/// Three candidates in a plane, of two classes, and one that is labelled.
struct Three {
    std::vector<float> embeddings{0.0F, 0.0F, 3.0F, 4.0F, 6.0F, 8.0F};
    std::vector<float> log_probs{std::log(0.5F),  std::log(0.5F), std::log(0.25F),
                                 std::log(0.75F), 0.0F,           -INFINITY};
    std::vector<float> labelled{0.0F, 0.0F};

    CandidateInputs inputs() const {
        return {.rows = 3,
                .embeddings = embeddings,
                .embedding_size = 2,
                .log_probs = log_probs,
                .classes = 2,
                .labelled_embeddings = labelled};
    }
};

/// Values in units of their population standard deviation around their mean.
std::vector<double> standardised(std::vector<double> values) {
    double mean = 0.0, square = 0.0;
    for (const double value : values) mean += value / static_cast<double>(values.size());
    for (const double value : values) {
        square += (value - mean) * (value - mean) / static_cast<double>(values.size());
    }
    for (double& value : values) value = (value - mean) / std::sqrt(square);
    return values;
}

void check_column(const CandidateSet& set, std::int64_t column,
                  const std::vector<double>& expected) {
    for (std::int64_t row = 0; row < set.rows; ++row) {
        CHECK(set.features[index(row * set.width + column)] ==
              Approx(expected[index(row)]).margin(1e-6));
    }
}

}  // namespace

TEST_CASE("features are those of their formulas, standardised over the candidates") {
    const Three three;
    const double quarter = -0.25 * std::log(0.25) - 0.75 * std::log(0.75);
    const CandidateSet set = make_candidates(
        three.inputs(), std::vector<std::string>{"entropy", "margin", "distance-to-labelled",
                                                 "probabilities", "isolation", "embedding"});
    CHECK(set.width == 1 + 1 + 1 + 4 + 1 + 2);
    check_column(set, 0, standardised({std::log(2.0), quarter, 0.0}));
    check_column(set, 1, standardised({0.0, 0.5, 1.0}));
    check_column(set, 2, standardised({0.0, 5.0, 10.0}));
    check_column(set, 3, standardised({0.5, 0.75, 1.0}));
    check_column(set, 4, standardised({0.5, 0.25, 0.0}));
    check_column(set, 5, {0.0, 0.0, 0.0});  // there is no third class
    check_column(set, 7, standardised({7.5, 5.0, 7.5}));
    check_column(set, 8, standardised({0.0, 3.0, 6.0}));
    CHECK(set.difficulty[0] == Approx(std::log(2.0)));
    CHECK(set.difficulty[2] == 0.0F);
}

TEST_CASE("distances are in units of their root mean square, and copies are at 0") {
    const Three three;
    CandidateSet set = make_candidates(three.inputs(), std::vector<std::string>{"entropy"});
    // Squared distances 25, 25, 100 and three of 0 to itself: mean over the 9 pairs 300 / 9.
    CHECK(set.scale == Approx(std::sqrt(300.0 / 9.0)));
    std::vector<float> cached(3), computed(3);
    distances_from(set, 1, cached);
    measure_distances(set, 0);
    REQUIRE(set.distances.empty());
    distances_from(set, 1, computed);
    CHECK(cached == computed);
    CHECK(cached[1] == 0.0F);
    CHECK(cached[2] == Approx(5.0 / set.scale));
    Nearness nearness(set);
    CHECK(std::isinf(nearness[0]));
    nearness.pick(1);
    nearness.pick(2);
    CHECK(nearness[0] == Approx(5.0 / set.scale));
    CHECK(nearness[2] == 0.0F);
}

TEST_CASE(
    "what the policy is told of the picks has its limits where there is none, and at a copy") {
    const StepInputs none = make_step_inputs(INFINITY, false, 1.0);
    CHECK(none == StepInputs{1.0F, 0.0F, 0.0F, 1.0F});
    CHECK(make_step_inputs(0.0F, true, 0.5) == StepInputs{0.0F, 1.0F, 1.0F, 0.5F});
    CHECK(make_step_inputs(1.0F, true, 0.5)[0] == 0.5F);
}

TEST_CASE("large embeddings are projected in the same way for every pool") {
    const std::vector<float> embeddings = normals(2 * 100, 1);
    const std::vector<float> swapped = [&] {
        std::vector<float> other(embeddings.begin() + 100, embeddings.end());
        other.insert(other.end(), embeddings.begin(), embeddings.begin() + 100);
        return other;
    }();
    const auto features = [](const std::vector<float>& of) {
        return make_candidates({.rows = 2,
                                .embeddings = of,
                                .embedding_size = 100,
                                .log_probs = {},
                                .labelled_embeddings = {}},
                               std::vector<std::string>{"embedding"});
    };
    const CandidateSet a = features(embeddings), b = features(swapped);
    REQUIRE(a.width == 32);
    for (std::int64_t j = 0; j < 32; ++j) CHECK(a.features[index(j)] == b.features[index(32 + j)]);
}

TEST_CASE("kinds of features that cannot be made are refused by name") {
    const Three three;
    CandidateInputs inputs = three.inputs();
    const auto make = [&](std::vector<std::string> kinds) {
        return make_candidates(inputs, kinds);
    };
    CHECK_THROWS_WITH(make({"colour"}), contains("unknown kind of feature \"colour\"; known: "));
    CHECK_THROWS_WITH(make({"margin", "margin"}), contains("the feature margin was named twice"));
    CHECK_THROWS_WITH(make({}), contains("none were named"));
    inputs.labelled_embeddings = {};
    CHECK_THROWS_WITH(make({"distance-to-labelled"}), contains("needs labelled rows"));
    std::vector<float> odd = three.embeddings;
    odd[3] = NAN;
    inputs.embeddings = odd;
    CHECK_THROWS_WITH(make({"embedding"}), contains("of candidate 1 is not finite"));
    inputs.embeddings = {};
    CHECK_THROWS_WITH(make({"margin"}), contains("a policy needs embeddings"));
}
