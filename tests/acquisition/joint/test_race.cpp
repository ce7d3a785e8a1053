// Races of many rows at once against the same rows one by one.

#include "src/acquisition/joint/race.hpp"

#include <limits>
#include <numeric>

#include "tests/acquisition/joint/joint_support.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

/// A shard of rows without anything but ids and states.
JointShard make_shard(const JointPool& pool, std::int64_t first_row) {
    const JointAcquisition* const acquisition = find_joint_acquisition("k-center");
    std::vector<QuarantinedRow> quarantined;
    return {{.rows = pool.rows,
             .first_row = first_row,
             .ids = pool.ids,
             .log_probs = {},
             .embeddings = pool.embeddings,
             .embedding_size = 1,
             .excluded = pool.excluded,
             .labelled = {}},
            *acquisition,
            {},
            quarantined};
}

Proposal one_by_one(const JointShard& shard, const std::vector<float>& weights, std::size_t begin,
                    const KeyedRandom& random, std::uint16_t draw) {
    Race race(random, draw);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const std::size_t row = begin + i;
        if (shard.open(row)) race.enter(double{weights[i]}, shard.id(row), row);
    }
    return race.best();
}

void check_same(const Proposal& found, const Proposal& expected) {
    CHECK(found.id == expected.id);
    CHECK(found.offset == expected.offset);
    CHECK(found.score == expected.score);
}

}  // namespace

TEST_CASE("rows together have the winner that they have one by one", "[race]") {
    JointPool pool = points(std::vector<float>(1100, 1.0F), 1);
    pool.excluded.assign(1100, 0);
    for (std::size_t i = 0; i < 1100; i += 7) pool.excluded[i] = 1;
    const KeyedRandom weight(5, Stream::synthetic, 0);
    std::vector<std::int64_t> ids(1100);
    std::iota(ids.begin(), ids.end(), 77);
    for (const bool own_ids : {false, true}) {
        pool.ids = own_ids ? ids : std::vector<std::int64_t>();
        // Odd and even first ids, and one behind which the lower half of a block's number wraps.
        for (const std::int64_t first_row : {0L, 13L, (1L << 33) - 500}) {
            const JointShard shard = make_shard(pool, first_row);
            for (std::uint16_t draw = 0; draw < 40; ++draw) {
                const auto count = static_cast<std::size_t>(weight.integer(draw, 900, 3) +
                                                            (draw % 2 == 0 ? 1 : 0));
                const std::size_t begin = draw * 5U;
                std::vector<float> weights;
                for (std::size_t i = 0; i < count; ++i) {
                    const auto id = static_cast<std::int64_t>(i);
                    // Some 0, and weights from small to large; in the end from the smallest there
                    // are.
                    const double exponent =
                        20.0 * weight.uniform(id, 2) - (draw > 35 ? 95.0 : 10.0);
                    weights.push_back(weight.uniform(id, draw) < 0.2
                                          ? 0.0F
                                          : static_cast<float>(std::exp(exponent)));
                }
                const KeyedRandom random(9, Stream::badge, 3);
                Race race(random, draw);
                race.enter_rows(shard, weights, begin);
                INFO("ids " << own_ids << ", first row " << first_row << ", draw " << draw);
                check_same(race.best(), one_by_one(shard, weights, begin, random, draw));
            }
        }
    }
}

TEST_CASE("without a weight above 0 the lowest open row wins", "[race]") {
    JointPool pool = points(std::vector<float>(600, 1.0F), 1);
    pool.excluded.assign(600, 0);
    pool.excluded[0] = pool.excluded[1] = 1;
    const JointShard shard = make_shard(pool, 0);
    Race race({1, Stream::badge, 0}, 1);
    race.enter_rows(shard, std::vector<float>(600, 0.0F), 0);
    CHECK(race.best().id == 2);
    CHECK(race.best().score == 0.0);
    Race one({1, Stream::badge, 0}, 1);
    std::vector<float> weights(600, 0.0F);
    weights[431] = 1e-30F;
    one.enter_rows(shard, weights, 0);
    CHECK(one.best().id == 431);
    // Infinite weights win against all others.
    weights[250] = std::numeric_limits<float>::infinity();
    Race endless({1, Stream::badge, 0}, 1);
    endless.enter_rows(shard, weights, 0);
    CHECK(endless.best().id == 250);
}

TEST_CASE("rows win in proportion to their weights", "[race]") {
    const JointPool pool = points(std::vector<float>(300, 1.0F), 1);
    const JointShard shard = make_shard(pool, 1);
    std::vector<float> weights(300, 0.0F);
    weights[40] = 1.0F;
    weights[41] = 2.0F;
    weights[299] = 5.0F;
    std::array<int, 3> won{};
    for (std::uint32_t round = 0; round < 8000; ++round) {
        Race race({4, Stream::badge, round}, 2);
        race.enter_rows(shard, weights, 0);
        ++won[race.best().offset == 40 ? 0 : race.best().offset == 41 ? 1 : 2];
    }
    // 1000, 2000 and 5000; deviations 30, 39 and 43.
    CHECK(std::abs(won[0] - 1000) < 150);
    CHECK(std::abs(won[1] - 2000) < 195);
    CHECK(std::abs(won[2] - 5000) < 215);
}
