// Acquisitions that look at several samples or at targets: closed forms and bad input.

#include <cmath>
#include <limits>

#include "src/acquisition/acquisition.hpp"
#include "src/base/check.hpp"
#include "tests/acquisition/score.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE("certain members that contradict each other disagree by log 2") {
    const std::vector<float> p{1.0F, 0.0F, 0.0F, 1.0F};
    CHECK(score("bald", p, 2, 2)[0] == Approx(std::log(2.0)).epsilon(1e-7));
    CHECK(score("average-kl", p, 2, 2)[0] == Approx(std::log(2.0)).epsilon(1e-7));
    CHECK(score("expected-entropy", p, 2, 2)[0] == 0.0F);
    CHECK(score("mean-std", p, 2, 2)[0] == 0.5F);
    CHECK(score("variation-ratio", p, 2, 2)[0] == 0.5F);
    CHECK(score("vote-entropy", p, 2, 2)[0] == Approx(std::log(2.0)).epsilon(1e-7));
}

TEST_CASE("noise that all members agree on is no disagreement") {
    // Uncertain members that agree: all of the entropy is expected, none of it is information.
    const std::vector<float> p{0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F};
    CHECK(score("expected-entropy", p, 3, 2)[0] == Approx(std::log(2.0)).epsilon(1e-6));
    CHECK(score("bald", p, 3, 2)[0] == 0.0F);
    CHECK(score("mean-std", p, 3, 2)[0] == 0.0F);
}

TEST_CASE("bald of two binary members has its closed form") {
    // H(1/2) - (H(1/4) + H(3/4)) / 2 = log 2 - H(1/4)
    const double member = -0.25 * std::log(0.25) - 0.75 * std::log(0.75);
    const auto scores = score("bald", {0.25F, 0.75F, 0.75F, 0.25F}, 2, 2);
    CHECK(scores[0] == Approx(std::log(2.0) - member).epsilon(1e-7));
    CHECK(score("mean-std", {0.25F, 0.75F, 0.75F, 0.25F}, 2, 2)[0] == 0.25F);
}

TEST_CASE("members that differ in the last bits have the disagreement of second order") {
    // For p = 1/2 +- e: bald = 2 e^2 up to fourth order, far below the rounding of either entropy.
    const float e = 0x1p-20F;
    const float above = std::log(0.5F + e), below = std::log(0.5F - e);
    const std::vector<float> log_probs{above, below, below, above};
    PredictionView view;
    view.log_probs = log_probs;
    view.samples = view.classes = 2;
    std::vector<float> scores(1);
    find_acquisition("bald").score(view, scores);
    const double half_gap = (std::exp(double{above}) - std::exp(double{below})) / 2.0;
    CHECK(scores[0] == Approx(2.0 * half_gap * half_gap).epsilon(1e-3));
}

TEST_CASE("a tie within a member is a vote for its lowest class") {
    // Votes 0, 0, 1 and 1, 1, 1.
    const std::vector<float> p{0.5F, 0.5F, 0.0F, 0.4F, 0.2F, 0.4F, 0.0F, 0.5F, 0.5F,
                               0.0F, 0.5F, 0.5F, 0.2F, 0.4F, 0.4F, 0.0F, 1.0F, 0.0F};
    const auto ratios = score("variation-ratio", p, 3, 3);
    CHECK(ratios[0] == Approx(1.0 / 3.0).epsilon(1e-7));
    CHECK(ratios[1] == 0.0F);
    const auto entropies = score("vote-entropy", p, 3, 3);
    CHECK(entropies[0] == Approx(std::log(3.0) - 2.0 / 3.0 * std::log(2.0)).epsilon(1e-7));
    CHECK(entropies[1] == 0.0F);
}

TEST_CASE("el2n is the mean distance to the target, and needs one that is a class") {
    const std::vector<float> p{0.7F, 0.2F, 0.1F, 0.7F, 0.2F, 0.1F,
                               0.7F, 0.2F, 0.1F, 0.7F, 0.2F, 0.1F};
    const auto scores = score("el2n", p, 1, 3, {0, 2, 3, -1});
    CHECK(scores[0] == Approx(std::sqrt(0.14)).epsilon(1e-6));
    CHECK(scores[1] == Approx(std::sqrt(1.34)).epsilon(1e-6));
    CHECK(std::isnan(scores[2]));
    CHECK(std::isnan(scores[3]));
    // The mean of the norms, not the norm of the mean.
    CHECK(score("el2n", {1.0F, 0.0F, 0.0F, 1.0F}, 2, 2, {0})[0] ==
          Approx(std::sqrt(2.0) / 2.0).epsilon(1e-7));
}

TEST_CASE("a member that is no distribution leaves its row without a score") {
    const std::vector<float> p{0.5F, 0.5F, 0.5F, 0.4F, 0.5F, 0.5F,
                               0.5F, kNan, 0.5F, 0.5F, 1.0F, 0.0F};
    for (const char* name : {"bald", "mean-std", "variation-ratio", "vote-entropy"}) {
        INFO(name);
        const auto scores = score(name, p, 2, 2);
        CHECK(std::isnan(scores[0]));
        CHECK(std::isnan(scores[1]));
        CHECK(std::isfinite(scores[2]));
    }
}

TEST_CASE("disagreement is refused where there is one sample") {
    using thresher::test::contains;
    const std::vector<std::string> one_sample{"log_probs"};
    for (const char* name :
         {"bald", "average-kl", "mean-std", "variation-ratio", "vote-entropy", "epig"}) {
        CHECK_THROWS_AS(check_fits(find_acquisition(name), one_sample), UsageError);
    }
    CHECK_THROWS_WITH(check_fits(find_acquisition("bald"), one_sample),
                      contains("\"bald\" needs samples") &&
                          contains("two or more predictions of each row: strategy monte-carlo") &&
                          contains("fit what is there: random, least-confidence, margin, entropy, "
                                   "expected-entropy"));
    const std::vector<std::string> samples{"log_probs", "samples"};
    CHECK_NOTHROW(check_fits(find_acquisition("bald"), samples));
}

TEST_CASE("every need of an acquisition has a remedy") {
    for (const Acquisition& acquisition : acquisitions()) {
        for (const std::string_view need : acquisition.needs) CHECK_NOTHROW(remedy_for(need));
        CHECK((acquisition.direction == "largest" || acquisition.direction == "smallest"));
        CHECK_FALSE(acquisition.cost.empty());
    }
    CHECK_THROWS_AS(remedy_for("a miracle"), Error);
}
