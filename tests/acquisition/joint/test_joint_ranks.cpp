// The same batch from every body of Collective: alone, over simulated ranks and over MPI.

#include "tests/acquisition/joint/joint_support.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using namespace thresher::test;

TEST_CASE("every joint acquisition picks the same batch for any number of ranks") {
    JointPool pool = random_points(400, 6);
    add_random_predictions(pool, 4, 3);
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
