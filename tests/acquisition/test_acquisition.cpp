#include "src/acquisition/acquisition.hpp"

#include <cmath>
#include <limits>

#include "src/acquisition/outputs.hpp"
#include "src/base/check.hpp"
#include "src/random/philox.hpp"
#include "tests/acquisition/score.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE("uncertainty scores have their closed forms") {
    const std::vector<float> p{0.25F, 0.25F, 0.25F, 0.25F, 0.5F, 0.5F,
                               0.0F,  0.0F,  1.0F,  0.0F,  0.0F, 0.0F};
    const auto entropy = score("entropy", p, 1, 4);
    CHECK(entropy[0] == Approx(std::log(4.0)).epsilon(1e-6));
    CHECK(entropy[1] == Approx(std::log(2.0)).epsilon(1e-6));
    CHECK(entropy[2] == 0.0F);
    CHECK(score("least-confidence", p, 1, 4) == std::vector<float>{0.75F, 0.5F, 0.0F});
    CHECK(score("margin", p, 1, 4) == std::vector<float>{1.0F, 1.0F, 0.0F});
}

TEST_CASE("samples are averaged as probabilities") {
    // Two certain members that disagree: the mean is (1/2, 1/2), whatever the logits were.
    const auto entropy = score("entropy", {1.0F, 0.0F, 0.0F, 1.0F}, 2, 2);
    CHECK(entropy[0] == Approx(std::log(2.0)).epsilon(1e-6));
}

TEST_CASE("rows that are no distribution get no score") {
    for (const char* name : {"entropy", "margin", "least-confidence"}) {
        const auto scores =
            score(name, {0.5F, 0.5F, kNan, 0.5F, 0.5F, 0.4F, 0.9F, kInfinity}, 1, 2);
        CHECK(std::isfinite(scores[0]));
        CHECK(std::isnan(scores[1]));
        CHECK(std::isnan(scores[2]));
        CHECK(std::isnan(scores[3]));
    }
}

TEST_CASE("losses combine to the scores of prioritised training") {
    const std::vector<float> learner{2.0F, 0.5F, kNan, 1.0F},
        reference{0.5F, 2.0F, 1.0F, kInfinity};
    PredictionView view;
    view.losses = {{"learner", learner}, {"reference", reference}};
    std::vector<float> scores(4);
    find_acquisition("learnability").score(view, scores);
    CHECK(scores[0] == 1.5F);
    CHECK(scores[1] == -1.5F);
    CHECK(std::isnan(scores[2]));
    CHECK(std::isnan(scores[3]));
    find_acquisition("hard-learner").score(view, scores);
    CHECK(scores[0] == 2.0F);
    find_acquisition("easy-reference").score(view, scores);
    CHECK(scores[1] == -2.0F);
}

TEST_CASE("random scores depend on seed, round and id alone") {
    const std::vector<std::int64_t> ids{7, 3, 1000000000000};
    PredictionView view;
    view.ids = ids;
    view.seed = 5;
    view.round = 2;
    std::vector<float> scores(3);
    find_acquisition("random").score(view, scores);
    const KeyedRandom random(5, Stream::random_acquisition, 2);
    for (std::size_t i = 0; i < 3; ++i)
        CHECK(scores[i] == static_cast<float>(random.uniform(ids[i])));
}

TEST_CASE("log-softmax survives logits of any size") {
    const std::vector<float> logits{1e4F,      -1e4F, 0.0F,       -kInfinity, kNan, 0.0F,
                                    kInfinity, 0.0F,  -kInfinity, -kInfinity, 2.0F, 2.0F};
    std::vector<float> log_probs(logits.size());
    logits_to_log_probs(logits, 2, log_probs);
    CHECK(log_probs[0] == 0.0F);
    CHECK(log_probs[1] == -2e4F);
    CHECK(log_probs[2] == 0.0F);
    CHECK(log_probs[3] == -kInfinity);
    for (std::size_t i = 4; i < 10; ++i) CHECK(std::isnan(log_probs[i]));
    CHECK(log_probs[10] == Approx(-std::log(2.0)).epsilon(1e-7));
}

TEST_CASE("probabilities that are none are refused row by row") {
    const std::vector<float> p{0.25F, 0.75F, 1.2F, -0.2F, 0.5F, 0.4F, 1.0F, 0.0F};
    std::vector<float> log_probs(p.size());
    probabilities_to_log_probs(p, 2, log_probs);
    CHECK(log_probs[0] == std::log(0.25F));
    for (std::size_t i = 2; i < 6; ++i) CHECK(std::isnan(log_probs[i]));
    CHECK(log_probs[6] == 0.0F);
    CHECK(log_probs[7] == -kInfinity);
}

TEST_CASE("an unknown acquisition, or one that does not fit, names those that would do") {
    using thresher::test::contains;
    CHECK_THROWS_WITH(find_acquisition("entrpy"),
                      contains("unknown acquisition \"entrpy\"; known: random, least-confidence"));
    const std::vector<std::string> log_probs{"log_probs"};
    CHECK_NOTHROW(check_fits(find_acquisition("entropy"), log_probs));
    CHECK_THROWS_AS(check_fits(find_acquisition("learnability"), log_probs), UsageError);
    CHECK_THROWS_WITH(
        check_fits(find_acquisition("learnability"), log_probs),
        contains("needs losses/learner and losses/reference, but the predictions hold log_probs") &&
            contains("fit what is there: random, least-confidence, margin, entropy"));
}
