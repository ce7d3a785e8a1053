#include <numeric>
#include <set>

#include "src/acquisition/joint/exact_grid.hpp"
#include "src/acquisition/joint/k_means.hpp"
#include "src/acquisition/joint/round_robin.hpp"
#include "tests/acquisition/joint/joint_support.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

using Ids = std::vector<std::int64_t>;

/// `sizes[c]` points around (100 c, 0), within 1 of it, in turn; `group[i]` says whose each is.
JointPool groups(const std::vector<std::int64_t>& sizes, std::vector<std::size_t>& group) {
    const KeyedRandom random(4, Stream::synthetic, 0);
    std::vector<float> values;
    std::vector<std::int64_t> left = sizes;
    std::int64_t id = 0;
    for (bool any = true; any;) {
        any = false;
        for (std::size_t c = 0; c < left.size(); ++c) {
            if (left[c] == 0) continue;
            --left[c];
            any = true;
            values.push_back(
                static_cast<float>(100.0 * static_cast<double>(c) + random.uniform(id, 0) - 0.5));
            values.push_back(static_cast<float>(random.uniform(id, 1) - 0.5));
            group.push_back(c);
            ++id;
        }
    }
    return points(values, 2);
}

double distance(const JointPool& pool, std::size_t a, std::size_t b) {
    double square = 0.0;
    const auto d = static_cast<std::size_t>(pool.embedding_size);
    for (std::size_t j = 0; j < d; ++j) {
        square +=
            std::pow(double{pool.embeddings[a * d + j]} - double{pool.embeddings[b * d + j]}, 2);
    }
    return std::sqrt(square);
}

/// The row of group `c` nearest to the group's mean.
std::int64_t medoid(const JointPool& pool, const std::vector<std::size_t>& group, std::size_t c) {
    double x = 0.0, y = 0.0, count = 0.0;
    for (std::size_t i = 0; i < group.size(); ++i) {
        if (group[i] != c) continue;
        x += pool.embeddings[2 * i], y += pool.embeddings[2 * i + 1], count += 1.0;
    }
    std::size_t best = group.size();
    double nearest = 1e300;
    for (std::size_t i = 0; i < group.size(); ++i) {
        if (group[i] != c) continue;
        const double square = std::pow(pool.embeddings[2 * i] - x / count, 2) +
                              std::pow(pool.embeddings[2 * i + 1] - y / count, 2);
        if (square < nearest) nearest = square, best = i;
    }
    return static_cast<std::int64_t>(best);
}

/// Mean distance of a row to the 20 nearest others of its group.
double mean_distance(const JointPool& pool, const std::vector<std::size_t>& group,
                     std::size_t row) {
    std::vector<double> distances;
    for (std::size_t i = 0; i < group.size(); ++i) {
        if (i != row && group[i] == group[row]) distances.push_back(distance(pool, row, i));
    }
    std::sort(distances.begin(), distances.end());
    distances.resize(std::min<std::size_t>(20, distances.size()));
    return std::accumulate(distances.begin(), distances.end(), 0.0) /
           static_cast<double>(distances.size());
}

void predict(JointPool& pool, const std::vector<float>& first_class) {
    pool.samples = 1;
    pool.classes = 2;
    for (const float p : first_class) {
        pool.log_probs.push_back(std::log(p));
        pool.log_probs.push_back(std::log(1.0F - p));
    }
}

}  // namespace

TEST_CASE("sums on a grid have the same bits in any order") {
    const KeyedRandom random(1, Stream::synthetic, 0);
    std::vector<double> values;
    for (std::int64_t i = 0; i < 10000; ++i) values.push_back(random.normal(i) * random.uniform(i));
    const ExactGrid grid(10.0, 10000);
    double forward = 0.0, backward = 0.0, plain = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        forward += grid(values[i]);
        backward += grid(values[values.size() - 1 - i]);
        plain += values[i];
    }
    CHECK(forward == backward);
    CHECK(forward == Approx(plain).epsilon(1e-9));
    CHECK(ExactGrid(0.0, 5)(0.0) == 0.0);
}

TEST_CASE("k-means finds groups that are far apart") {
    std::vector<std::size_t> group;
    const JointPool pool = groups({30, 50, 20, 40}, group);
    const auto collective = make_local_collective();
    const JointRows rows = deal(pool, *collective);
    std::vector<QuarantinedRow> quarantined;
    JointShard shard(rows, *find_joint_acquisition("centroid"), {}, quarantined);
    const Clusters clusters =
        k_means(*collective, shard, shard.offsets(RowState::open), 4, {.seed = 3});
    REQUIRE(clusters.size.size() == 4);
    for (std::size_t i = 0; i < group.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            CHECK((clusters.of[i] == clusters.of[j]) == (group[i] == group[j]));
        }
    }
    std::vector<std::int64_t> sizes = clusters.size;
    std::sort(sizes.begin(), sizes.end());
    CHECK(sizes == std::vector<std::int64_t>{20, 30, 40, 50});
}

TEST_CASE("shares go round the clusters and pass over those that have given all") {
    const std::vector<std::uint32_t> order{2, 0, 1};
    const std::vector<std::int64_t> available{1, 5, 2};
    CHECK(round_robin_shares(order, available, 2) == std::vector<std::int64_t>{1, 0, 1});
    CHECK(round_robin_shares(order, available, 5) == std::vector<std::int64_t>{1, 2, 2});
    CHECK(round_robin_shares(order, available, 8) == std::vector<std::int64_t>{1, 5, 2});
}

TEST_CASE("centroid picks the row nearest to each centre, the largest cluster first") {
    std::vector<std::size_t> group;
    const JointPool pool = groups({30, 50, 20, 40}, group);
    const Picked picked = pick("centroid", pool, {.k = 4, .seed = 3});
    CHECK(picked.ids == Ids{medoid(pool, group, 1), medoid(pool, group, 3), medoid(pool, group, 0),
                            medoid(pool, group, 2)});
    CHECK(picked.scores[0] > -1.0F);
    CHECK(picked.scores[0] <= 0.0F);
}

TEST_CASE("centroid goes round again where there are fewer distinct rows than picks") {
    const Picked picked = pick("centroid", points({1, 5, 1, 5, 1, 1}, 1), {.k = 5});
    CHECK(picked.ids == Ids{0, 1, 2, 3, 4});
    CHECK(picked.scores == std::vector<float>(5, 0.0F));
    const JointPool equal = points(std::vector<float>(8, 3.0F), 1);
    CHECK(pick("centroid", equal, {.k = 8}).ids == Ids{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("typiclust picks the most typical row of each cluster without a label") {
    std::vector<std::size_t> group;
    JointPool pool = groups({30, 50, 25, 40}, group);
    // Group 1, the largest, has a labelled row; three clusters are left for three picks.
    const std::int64_t labelled = std::find(group.begin(), group.end(), 1) - group.begin();
    pool = with_labelled(pool, {labelled});
    const Picked picked = pick("typiclust", pool, {.k = 3, .seed = 1});
    REQUIRE(picked.ids.size() == 3);
    const std::vector<std::size_t> order{3, 0, 2};  // by size
    for (std::size_t i = 0; i < 3; ++i) {
        const auto row = static_cast<std::size_t>(picked.ids[i]);
        CHECK(group[row] == order[i]);
        const double own = mean_distance(pool, group, row);
        CHECK(picked.scores[i] == Approx(-own).epsilon(1e-5));
        for (std::size_t other = 0; other < group.size(); ++other) {
            if (group[other] == group[row])
                CHECK(mean_distance(pool, group, other) >= own * (1.0 - 1e-5));
        }
    }
}

TEST_CASE("typiclust takes small clusters last, and covered ones when no other is left") {
    std::vector<std::size_t> group;
    JointPool pool = groups({30, 3, 20}, group);
    const Picked cold = pick("typiclust", pool, {.k = 3, .seed = 1});
    CHECK(group[static_cast<std::size_t>(cold.ids[0])] == 0);
    CHECK(group[static_cast<std::size_t>(cold.ids[1])] == 2);
    CHECK(group[static_cast<std::size_t>(cold.ids[2])] == 1);

    const JointPool equal = with_labelled(points(std::vector<float>(9, 1.0F), 1), {0});
    const Picked covered = pick("typiclust", equal, {.k = 4});
    CHECK(covered.ids == Ids{1, 2, 3, 4});
    CHECK(covered.scores == std::vector<float>(4, 0.0F));
    CHECK(pick("typiclust", points({1, 50}, 1), {.k = 2}).scores == std::vector<float>{0, 0});
}

TEST_CASE("cluster-margin takes uncertain rows from the small clusters first") {
    std::vector<std::size_t> group;
    JointPool pool = groups({40, 10, 25}, group);
    // Even rows are uncertain, odd ones certain.
    std::vector<float> p;
    std::vector<std::int64_t> uncertain(3, 0);
    for (std::size_t i = 0; i < group.size(); ++i) {
        p.push_back(i % 2 == 0 ? 0.55F : 0.99F);
        uncertain[group[i]] += i % 2 == 0 ? 1 : 0;
    }
    predict(pool, p);
    const std::int64_t total = std::accumulate(uncertain.begin(), uncertain.end(), std::int64_t{0});
    REQUIRE(total == 38);
    // As many candidates as uncertain rows: 19 for each of 2 picks, in 2 clusters.
    const Picked two = pick("cluster-margin", pool, {.k = 2, .margin_factor = 19});
    for (const float score : two.scores) CHECK(score == Approx(1.0 - 0.1).epsilon(1e-5));
    for (const std::int64_t id : two.ids) CHECK(id % 2 == 0);

    std::vector<std::size_t> by_size{0, 1, 2};
    std::sort(by_size.begin(), by_size.end(),
              [&](std::size_t a, std::size_t b) { return uncertain[a] < uncertain[b]; });
    const Picked three = pick("cluster-margin", pool, {.k = 3, .margin_factor = 12});
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(three.ids[i] % 2 == 0);
    }
    std::set<std::size_t> seen;
    for (const std::int64_t id : three.ids) seen.insert(group[static_cast<std::size_t>(id)]);
    CHECK(seen.size() == 3);
    CHECK(group[static_cast<std::size_t>(three.ids[0])] == by_size[0]);
}

TEST_CASE("cluster-margin breaks ties of margins by id and can take every row") {
    JointPool pool = random_points(30, 2);
    predict(pool, std::vector<float>(30, 0.5F));
    const Picked few = pick("cluster-margin", pool, {.k = 5, .margin_factor = 1});
    Ids sorted = few.ids;
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == Ids{0, 1, 2, 3, 4});
    Ids all = pick("cluster-margin", pool, {.k = 30}).ids;
    std::sort(all.begin(), all.end());
    Ids ascending(30);
    std::iota(ascending.begin(), ascending.end(), 0);
    CHECK(all == ascending);
}
