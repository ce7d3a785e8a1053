// What boxes make of an image: by hand, and against the formulas written down once more.

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>

#include "src/acquisition/acquisition.hpp"
#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"
#include "tests/acquisition/reference.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

using Floats = std::vector<float>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
const double kLog2 = std::log(2.0), kLog3 = std::log(3.0);

/// Up to three boxes an image, of two classes and the background.
struct Images {
    Floats log_probs, scores, flips, discrepancies;

    explicit Images(const std::vector<std::vector<Floats>>& boxes_of_images) {
        for (const auto& boxes : boxes_of_images) {
            for (std::size_t box = 0; box < 3; ++box) {
                const bool there = box < boxes.size();
                scores.push_back(there ? 0.9F - 0.1F * static_cast<float>(box) : kNan);
                for (std::size_t c = 0; c < 3; ++c)
                    log_probs.push_back(there ? std::log(boxes[box][c]) : kNan);
            }
        }
    }

    Floats score(const std::string& acquisition, const BoxAggregation& how) const {
        PredictionView view;
        view.found = {{3, 3, !flips.empty(), !discrepancies.empty()},
                      log_probs,
                      scores,
                      flips,
                      discrepancies};
        view.aggregation = how;
        Floats found(scores.size() / 3);
        find_acquisition(acquisition).score(view, found);
        return found;
    }
};

const BoxAggregation kMax{}, kMean{Aggregate::mean}, kSum{Aggregate::sum};
const BoxAggregation kTop1{Aggregate::top_n, 1}, kTop2{Aggregate::top_n, 2},
    kTop3{Aggregate::top_n, 3};

void check_near(const Floats& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CAPTURE(i);
        CHECK(double{found[i]} == Approx(expected[i]).epsilon(1e-6));
    }
}

/// Two boxes that are unsure, none, and three of which two are certain.
const Images kImages({{{0.5F, 0.5F, 0.0F}, {0.25F, 0.25F, 0.5F}},
                      {},
                      {{1.0F, 0.0F, 0.0F}, {0.0F, 1.0F, 0.0F}, {1 / 3.0F, 1 / 3.0F, 1 / 3.0F}}});

}  // namespace

TEST_CASE("boxes are scored as rows are, and an image by its boxes") {
    // H: log 2 and 3/2 log 2; 0, 0 and log 3. An image without boxes has 0.
    check_near(kImages.score("box-entropy", kMax), {1.5 * kLog2, 0, kLog3});
    check_near(kImages.score("box-entropy", kMean), {1.25 * kLog2, 0, kLog3 / 3});
    check_near(kImages.score("box-entropy", kSum), {2.5 * kLog2, 0, kLog3});
    check_near(kImages.score("box-entropy", kTop1), {1.5 * kLog2, 0, kLog3});
    check_near(kImages.score("box-entropy", kTop2), {1.25 * kLog2, 0, kLog3 / 2});
    check_near(kImages.score("box-entropy", kTop3), {1.25 * kLog2, 0, kLog3 / 3});
    // 1 - lead: 1 and 3/4; 0, 0 and 1.
    check_near(kImages.score("box-margin", kMax), {1, 0, 1});
    check_near(kImages.score("box-margin", kMean), {0.875, 0, 1 / 3.0});
    check_near(kImages.score("box-margin", kSum), {1.75, 0, 1});
    check_near(kImages.score("box-margin", kTop2), {0.875, 0, 0.5});
    // 1 - the largest: 1/2 and 1/2; 0, 0 and 2/3.
    check_near(kImages.score("box-least-confidence", kMax), {0.5, 0, 2 / 3.0});
    check_near(kImages.score("box-least-confidence", kMean), {0.5, 0, 2 / 9.0});
    check_near(kImages.score("box-least-confidence", kSum), {1, 0, 2 / 3.0});
    check_near(kImages.score("box-least-confidence", kTop2), {0.5, 0, 1 / 3.0});
}

TEST_CASE("flips of boxes are aggregated as they are") {
    Images images = kImages;
    images.flips = {0.25F, 1.0F, kNan, kNan, kNan, kNan, 0.5F, 0.0F, 0.25F};
    check_near(images.score("box-flip", kMax), {1, 0, 0.5});
    check_near(images.score("box-flip", kMean), {0.625, 0, 0.25});
    check_near(images.score("box-flip", kSum), {1.25, 0, 0.75});
    check_near(images.score("box-flip", kTop2), {0.625, 0, 0.375});
}

TEST_CASE("discrepancies of boxes are aggregated as they are, by the weights of classes") {
    Images images = kImages;
    images.discrepancies = {0.25F, 0.5F, kNan, kNan, kNan, kNan, 0.5F, 0.25F, 0.0F};
    check_near(images.score("box-discrepancy", kMax), {0.5, 0, 0.5});
    check_near(images.score("box-discrepancy", kMean), {0.375, 0, 0.25});
    const Floats weights{1.0F, 4.0F};
    check_near(images.score("box-discrepancy", {Aggregate::sum, 3, weights}), {0.75, 0, 1.5});
}

TEST_CASE("boxes count by the weight of their likeliest class, the background aside") {
    // The background is likeliest in the first box; the classes of the last tie.
    const Images images({{{0.2F, 0.3F, 0.5F}, {0.5F, 0.25F, 0.25F}}, {{0.4F, 0.4F, 0.2F}}});
    const Floats weights{2.0F, 5.0F}, none{0.0F, 5.0F};
    BoxAggregation how{Aggregate::sum, 3, weights};
    check_near(images.score("box-least-confidence", how), {5 * 0.5 + 2 * 0.5, 2 * 0.6});
    how.kind = Aggregate::mean;
    check_near(images.score("box-least-confidence", how), {(5 * 0.5 + 2 * 0.5) / 2, 2 * 0.6});
    how.kind = Aggregate::max;
    check_near(images.score("box-margin", how), {5 * 0.8, 2 * 1.0});
    how.class_weights = none;
    check_near(images.score("box-least-confidence", how), {5 * 0.5, 0});
    how.class_weights = std::span(weights).first(1);
    CHECK_THROWS_WITH(images.score("box-margin", how), contains("1 class weights for 2 classes"));
}

TEST_CASE("an image with a box of which there is no number gets no score") {
    Images images(
        {{{0.5F, 0.5F, 0.0F}, {kNan, 0.5F, 0.5F}}, {{0.9F, 0.9F, 0.9F}}, {{0.5F, 0.5F, 0.0F}}});
    for (const BoxAggregation& how : {kMax, kMean, kSum, kTop1}) {
        for (const char* name : {"box-entropy", "box-margin", "box-least-confidence"}) {
            const Floats found = images.score(name, how);
            CHECK(std::isnan(found[0]));
            CHECK(std::isnan(found[1]));  // no distribution
            CHECK(found[2] > 0.0F);
        }
        images.flips = {0.1F, kNan, kNan, 0.2F, kNan, kNan, 0.3F, kNan, kNan};
        const Floats flips = images.score("box-flip", how);
        CHECK(std::isnan(flips[0]));
        CHECK(flips[2] == 0.3F);
        images.flips.clear();
    }
}

TEST_CASE("many images are those of the formulas, with the same bits for any number of threads") {
    constexpr std::size_t kRows = 3001, kMost = 5, kClasses = 4;
    Floats log_probs = some_log_probs(kRows * kMost, 1, kClasses), scores(kRows * kMost, kNan);
    const KeyedRandom random(4, Stream::synthetic, 0);
    std::vector<std::vector<long double>> entropies(kRows);
    for (std::size_t row = 0; row < kRows; ++row) {
        const std::size_t count = random.bits(static_cast<std::int64_t>(row)) % (kMost + 1);
        for (std::size_t box = row * kMost; box < (row + 1) * kMost; ++box) {
            float* const of_box = log_probs.data() + box * kClasses;
            if (box - row * kMost >= count) {
                std::fill_n(of_box, kClasses, kNan);
                continue;
            }
            scores[box] = 0.5F;
            entropies[row].push_back(entropy_of(probabilities_of(of_box, 1, kClasses)[0]));
        }
        std::sort(entropies[row].rbegin(), entropies[row].rend());
    }
    PredictionView view;
    view.found = {{kMost, kClasses, false}, log_probs, scores, {}};
    for (const BoxAggregation& how : {kMax, kMean, kSum, kTop2}) {
        view.aggregation = how;
        std::vector<Floats> found(2, Floats(kRows));
        for (const int threads : {1, 3}) {
            use_threads(threads);
            find_acquisition("box-entropy").score(view, found[threads == 1 ? 0 : 1]);
        }
        use_threads(1);
        CHECK(found[0] == found[1]);
        double worst = 0.0;
        for (std::size_t row = 0; row < kRows; ++row) {
            std::span<const long double> values = entropies[row];
            if (how.kind == Aggregate::max)
                values = values.first(std::min<std::size_t>(values.size(), 1));
            if (how.kind == Aggregate::top_n)
                values = values.first(std::min<std::size_t>(values.size(), 2));
            long double expected = 0;
            for (const long double value : values) expected += value;
            if (how.kind != Aggregate::sum && !values.empty())
                expected /= static_cast<long double>(values.size());
            worst = std::max(worst, std::abs(static_cast<double>(expected) - found[0][row]));
        }
        CHECK(worst < 1e-5);
    }
}

TEST_CASE("what reads boxes is refused where there are none, and names what fits") {
    const std::vector<std::string> boxes{"boxes"}, both{"boxes", "box-flips"}, others{"log_probs"};
    for (const char* name : {"box-entropy", "box-margin", "box-least-confidence"}) {
        CHECK_NOTHROW(check_fits(find_acquisition(name), boxes));
        CHECK_THROWS_WITH(check_fits(find_acquisition(name), others),
                          contains("needs boxes, but the predictions hold log_probs; strategy "
                                   "boxes gives boxes"));
    }
    CHECK_NOTHROW(check_fits(find_acquisition("box-flip"), both));
    CHECK_THROWS_WITH(
        check_fits(find_acquisition("box-flip"), boxes),
        contains("--box-flips") && contains("fit what is there: random, box-entropy, box-margin, "
                                            "box-least-confidence"));
    const std::vector<std::string> heads{"boxes", "box-discrepancies"};
    CHECK_NOTHROW(check_fits(find_acquisition("box-discrepancy"), heads));
    CHECK_THROWS_WITH(check_fits(find_acquisition("box-discrepancy"), both),
                      contains("needs box-discrepancies") && contains("--class-heads 2"));
    CHECK_THROWS_WITH(kImages.score("box-discrepancy", kMax), contains("looked at 0 boxes"));
    CHECK_THROWS_AS(check_fits(find_acquisition("entropy"), both), UsageError);
    CHECK_THROWS_WITH(kImages.score("box-flip", kMax), contains("0 boxes were compared"));
    Floats one(1);
    CHECK_THROWS_AS(find_acquisition("box-entropy").score({}, one), Error);
}
