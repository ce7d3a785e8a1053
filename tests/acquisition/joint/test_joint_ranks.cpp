// The same batch from every body of Collective: alone, over simulated ranks and over MPI.

#include "tests/acquisition/joint/joint_support.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using namespace thresher::test;

TEST_CASE("every joint acquisition picks the same batch for any number of ranks") {
    JointPool pool = random_points(400, 6);
    add_random_predictions(pool, 4, 3);
    add_labels_in_turn(pool, 3);
    pool.embeddings[60] = NAN;
    pool.log_probs[300] = NAN;
    pool = with_labelled(pool, {7, 120, 399});
    for (const JointAcquisition& acquisition : joint_acquisitions()) {
        const JointOptions options{.k = 12, .seed = 3, .configurations = 300};
        const std::string name(acquisition.name);
        const Picked expected = pick_over(1, name.c_str(), pool, options);
        REQUIRE(expected.ids.size() == 12);
        on_all_ranks([&](Collective& collective) {
            const Picked picked = pick_on(collective, name.c_str(), pool, options);
            if (collective.is_root()) {
                CHECK_ON_RANK(collective, picked == expected);
            } else {
                CHECK_ON_RANK(collective, picked.ids.empty());
            }
        });
    }
}

TEST_CASE("all points equal, and as many picks as rows, are legal for every joint acquisition") {
    JointPool pool = points(std::vector<float>(36, 1.5F), 3);
    pool.samples = 2;
    pool.classes = 2;
    pool.log_probs.assign(48, std::log(0.5F));
    add_labels_in_turn(pool, 1);
    for (const JointAcquisition& acquisition : joint_acquisitions()) {
        const std::string name(acquisition.name);
        for (const bool warm : {false, true}) {
            const JointPool& rows = warm ? with_labelled(pool, {5, 6}) : pool;
            const std::int64_t k = warm ? 10 : 12;
            on_all_ranks([&](Collective& collective) {
                const Picked picked = pick_on(collective, name.c_str(), rows, {.k = k});
                if (!collective.is_root()) return;
                std::vector<std::int64_t> ids = picked.ids;
                std::sort(ids.begin(), ids.end());
                const bool unique = std::adjacent_find(ids.begin(), ids.end()) == ids.end();
                CHECK_ON_RANK(collective, (static_cast<std::int64_t>(ids.size()) == k && unique));
                const bool finite = std::all_of(picked.scores.begin(), picked.scores.end(),
                                                [](float score) { return std::isfinite(score); });
                CHECK_ON_RANK(collective, finite);
                if (warm) CHECK_ON_RANK(collective, std::count(ids.begin(), ids.end(), 5) == 0);
            });
        }
    }
}

TEST_CASE("every joint acquisition says what it is, needs and costs") {
    for (const JointAcquisition& acquisition : joint_acquisitions()) {
        INFO(acquisition.name);
        CHECK(find_joint_acquisition(acquisition.name) == &acquisition);
        CHECK_FALSE(acquisition.needs.empty());
        for (const std::string_view text :
             {acquisition.description, acquisition.formula, acquisition.source, acquisition.time,
              acquisition.memory, acquisition.bytes}) {
            CHECK_FALSE(text.empty());
        }
        CHECK_THROWS_AS(check_joint_options(acquisition, {.k = 0}), UsageError);
    }
    CHECK_THROWS_AS(check_joint_options(*find_joint_acquisition("badge"), {.k = 65537}),
                    UsageError);
    CHECK_THROWS_AS(
        check_joint_options(*find_joint_acquisition("batchbald"), {.configurations = 0}),
        UsageError);
    CHECK_THROWS_AS(
        check_joint_options(*find_joint_acquisition("facility-location"), {.exact_rows = 0}),
        UsageError);
    CHECK_THROWS_AS(
        check_joint_options(*find_joint_acquisition("cluster-margin"), {.margin_factor = 0}),
        UsageError);
}

TEST_CASE("a joint acquisition that does not fit names what is missing and those that would do") {
    const std::vector<std::string> embeddings{"embeddings"};
    CHECK_NOTHROW(check_fits(*find_joint_acquisition("k-center"), embeddings));
    CHECK_THROWS_AS(check_fits(*find_joint_acquisition("badge"), embeddings), UsageError);
    CHECK_THROWS_WITH(check_fits(*find_joint_acquisition("badge"), embeddings),
                      contains("needs log_probs, but the predictions hold embeddings") &&
                          contains("fit what is there: k-center, centroid"));
}
