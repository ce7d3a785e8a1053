#include "tests/acquisition/joint/joint_support.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

using Ids = std::vector<std::int64_t>;

JointPool counted(std::vector<float> counts, std::int64_t classes) {
    JointPool pool;
    pool.rows = std::ssize(counts) / classes;
    pool.class_counts = std::move(counts);
    pool.label_classes = classes;
    return pool;
}

}  // namespace

TEST_CASE("class-balance takes what is rare among the labels") {
    // Row 0 is labelled and has three of the first class. Gains then: row 1, one more of the first,
    // log(5/4); row 2, two of the second, log 3; row 3, one of each, log(5/4) + log 2 = log 2.5;
    // row 4, nothing.
    const JointPool pool = with_labelled(counted({3, 0, 1, 0, 0, 2, 1, 1, 0, 0}, 2), {0});
    const Picked batch = pick("class-balance", pool, {.k = 4});
    // After row 2 there are 3 and 2: row 3 is worth log(5/4 x 4/3) = log(5/3), row 1 log(5/4).
    CHECK(batch.ids == Ids{2, 3, 1, 4});
    const std::vector<double> gains{std::log(3.0), std::log(5.0 / 3.0), std::log(6.0 / 5.0), 0.0};
    for (std::size_t i = 0; i < gains.size(); ++i) {
        CHECK(std::abs(double{batch.scores[i]} - gains[i]) < 1e-6);
    }
}

TEST_CASE("class-balance evens out a lopsided pool") {
    // Nine rows in ten are of class 0.
    std::vector<float> counts;
    for (int row = 0; row < 100; ++row) {
        counts.insert(counts.end(), {row % 10 == 0 ? 0.0F : 1.0F, row % 10 == 0 ? 1.0F : 0.0F});
    }
    const Picked batch = pick("class-balance", counted(counts, 2), {.k = 12});
    CHECK(std::count_if(batch.ids.begin(), batch.ids.end(),
                        [](std::int64_t id) { return id % 10 == 0; }) == 6);
}

TEST_CASE("counts that do not fit the rows are refused") {
    const std::vector<float> counts{1, 0, 0, 1};
    JointRows rows;
    rows.rows = 3;
    rows.class_counts = counts;
    rows.label_classes = 2;
    const auto alone = make_local_collective();
    CHECK_THROWS_WITH(
        select_jointly(*alone, *find_joint_acquisition("class-balance"), rows, {.k = 1}),
        contains("4 counts of labels for 3 rows of 2 classes"));
}
