#include <limits>
#include <numeric>

#include "src/base/thread_team.hpp"
#include "tests/acquisition/joint/joint_support.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

using Ids = std::vector<std::int64_t>;

/// Furthest first by the definition, in double, over all pairs.
std::vector<std::int64_t> by_definition(const JointPool& pool, std::size_t k) {
    const auto n = static_cast<std::size_t>(pool.rows);
    const auto d = static_cast<std::size_t>(pool.embedding_size);
    std::vector<double> nearest(n, std::numeric_limits<double>::infinity());
    std::vector<bool> closed(n, false);
    const auto add = [&](std::size_t centre) {
        closed[centre] = true;
        for (std::size_t i = 0; i < n; ++i) {
            double square = 0.0;
            for (std::size_t j = 0; j < d; ++j) {
                square += std::pow(
                    double{pool.embeddings[i * d + j]} - double{pool.embeddings[centre * d + j]},
                    2);
            }
            nearest[i] = std::min(nearest[i], square);
        }
    };
    for (std::size_t i = 0; i < pool.labelled.size(); ++i) {
        if (pool.labelled[i] != 0) add(i);
    }
    Ids ids;
    while (ids.size() < k) {
        std::size_t best = n;
        for (std::size_t i = 0; i < n; ++i) {
            if (!closed[i] && (best == n || nearest[i] > nearest[best])) best = i;
        }
        ids.push_back(static_cast<std::int64_t>(best));
        add(best);
    }
    return ids;
}

}  // namespace

TEST_CASE("k-center on a line picks the ends and then the middle") {
    const JointPool line = points({0, 1, 2, 3, 4, 10}, 1);
    const Picked cold = pick("k-center", line, {.k = 3});
    CHECK(cold.ids == Ids{0, 5, 4});
    CHECK(cold.scores == std::vector<float>{0, 10, 4});
    const Picked warm = pick("k-center", with_labelled(line, {0}), {.k = 2});
    CHECK(warm.ids == Ids{5, 4});
    CHECK(warm.scores == std::vector<float>{10, 4});
    CHECK(warm.selectable == 5);
}

TEST_CASE("k-center picks what the definition says, from no labelled rows and from some") {
    for (const std::int64_t d : {1, 3, 8, 17, 64}) {
        JointPool pool = random_points(1500, d);
        CHECK(pick("k-center", pool, {.k = 25}).ids == by_definition(pool, 25));
        pool = with_labelled(pool, {3, 700, 701, 1499});
        CHECK(pick("k-center", pool, {.k = 25}).ids == by_definition(pool, 25));
    }
}

TEST_CASE("k-center goes on by id where only duplicates are left, and picks no row twice") {
    const JointPool pool = points({1, 1, 2, 2, 1, 1, 5, 5, 2, 2, 1, 1}, 2);
    const Picked picked = pick("k-center", pool, {.k = 6});
    CHECK(picked.ids == Ids{0, 3, 1, 2, 4, 5});
    CHECK(picked.scores[2] == std::sqrt(2.0F));
    CHECK(picked.scores[3] == 0.0F);

    const JointPool equal = points(std::vector<float>(40, 7.0F), 4);
    Ids ascending(10);
    std::iota(ascending.begin(), ascending.end(), 0);
    CHECK(pick("k-center", equal, {.k = 10}).ids == ascending);
}

TEST_CASE("points far from the origin and close together keep their distances") {
    // 4096 + i / 2048 is exact in float32; |a|^2 + |b|^2 - 2 <a, b> would lose every digit.
    const std::vector<int> steps{0, 3, 1, 7, 4, 2};
    std::vector<float> values;
    for (const int step : steps) {
        values.insert(values.end(), {4096.0F + static_cast<float>(step) / 2048.0F, 4096.0F});
    }
    const Picked picked = pick("k-center", points(values, 2), {.k = 3});
    CHECK(picked.ids == Ids{0, 3, 1});  // steps 0, 7, then 3 and 4 tie at 3: the lower id
    CHECK(picked.scores[1] == 7.0F / 2048.0F);
    CHECK(picked.scores[2] == 3.0F / 2048.0F);
}

TEST_CASE("ties and order are those of ids, where ids are not rows") {
    JointPool pool = points({0, 5, -5, 5}, 1);
    pool.ids = {40, 30, 20, 10};
    CHECK(pick("k-center", pool, {.k = 4}).ids == Ids{10, 20, 40, 30});
}

TEST_CASE("rows that cannot be used are set aside with the reason; excluded ones take no part") {
    JointPool pool = points({0, 0, 1, 0, 0, 9, 100, 0, 50, 0, 1, 1}, 2);
    pool.embeddings[3] = std::numeric_limits<float>::quiet_NaN();
    pool.embeddings[4] = std::numeric_limits<float>::infinity();
    pool.embeddings[6] = 1e30F;
    pool.excluded = {0, 0, 0, 0, 1, 0};
    const Picked picked = pick("k-center", pool, {.k = 2});
    CHECK(picked.ids == Ids{0, 5});
    CHECK(picked.selectable == 2);
    REQUIRE(picked.quarantined.size() == 3);
    CHECK(picked.quarantined[0].id == 1);
    CHECK(picked.quarantined[0].reason == "embedding is not finite");
    CHECK(picked.quarantined[1].reason == "embedding is not finite");
    CHECK_THAT(picked.quarantined[2].reason, contains("too large"));
    for (const int ranks : {1, 3}) {
        CHECK_THROWS_WITH(pick_over(ranks, "k-center", pool, {.k = 3}),
                          contains("only 2 of the 6 rows can be picked"));
    }
    // A labelled row that cannot be used is no centre.
    CHECK(pick("k-center", with_labelled(points({NAN, 4, 3}, 1), {0}), {.k = 2}).ids == Ids{1, 2});
}

TEST_CASE("a k-center step costs an argmax and a broadcast of the row") {
    const JointPool pool = random_points(1000, 8);
    const auto traffic = [&](std::int64_t k) {
        return pick_over(2, "k-center", pool, {.k = k}).traffic;
    };
    const Traffic few = traffic(10), many = traffic(60);
    CHECK(many.collectives - few.collectives == 2 * 50);
    CHECK(many.bytes - few.bytes == 50 * (16 + 4 * 8));
}

TEST_CASE("the number of threads does not show in a joint batch") {
    const JointPool pool = random_points(5000, 24);
    const Picked one = pick_over(1, "k-center", pool, {.k = 50});
    use_threads(3);
    const Picked three = pick_over(1, "k-center", pool, {.k = 50});
    use_threads(1);
    CHECK(one == three);
}

TEST_CASE("requests that cannot be met are refused on all ranks, with the reason") {
    const JointPool pool = random_points(5, 2);
    CHECK(find_joint_acquisition("k-centre") == nullptr);
    CHECK_THROWS_AS(pick_over(2, "k-center", pool, {.k = 0}), UsageError);
    CHECK_THROWS_WITH(pick_over(2, "k-center", pool, {.k = 6}),
                      contains("k is 6, but the pool has 5 rows"));
    JointPool twice = pool;
    twice.ids = {1, 2, 3, 2, 5};
    CHECK_THROWS_WITH(pick_over(3, "k-center", twice, {.k = 1}),
                      contains("the id 2 occurs more than once"));
    JointPool none = pool;
    none.embeddings.clear();
    CHECK_THROWS_WITH(pick_over(2, "k-center", none, {.k = 1}), contains("values of embeddings"));
}

TEST_CASE("k-center agrees with the reference picks") {
    const nlohmann::json file = golden("selection.json");
    if (file.is_null()) return;
    for (const auto& test : file["k_center"]) {
        INFO(test["name"]);
        JointPool pool = points(floats(test["points"]), test["points"]["shape"][1]);
        pool = with_labelled(pool, test["labelled"]);
        const Picked picked = pick("k-center", pool, {.k = test["k"]});
        CHECK(picked.ids == test["expected"]["picks"].get<Ids>());
        for (std::size_t i = 0; i < picked.ids.size(); ++i) {
            const auto& distance = test["expected"]["distance_when_picked"][i];
            if (!distance.is_null()) CHECK(close(picked.scores[i], distance));
        }
    }
}
