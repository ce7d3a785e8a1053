// Real data whose distances are integers, with the exact ties that such data has.

#include <zlib.h>

#include <sstream>

#include "tests/acquisition/joint/joint_support.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

/// 1797 rows of 64 features, or nothing where the file is absent.
JointPool digits() {
    std::vector<float> values;
    const gzFile file = gzopen(THRESHER_DATA_DIR "/digits-uci/digits.csv.gz", "rb");
    if (file == nullptr) {
        WARN("skipped: no " THRESHER_DATA_DIR "/digits-uci/digits.csv.gz");
        return {};
    }
    char line[1024];
    while (gzgets(file, line, sizeof(line)) != nullptr) {
        std::istringstream fields(line);
        std::string field;
        for (int j = 0; j < 64 && std::getline(fields, field, ','); ++j)
            values.push_back(std::stof(field));
    }
    gzclose(file);
    return points(std::move(values), 64);
}

}  // namespace

TEST_CASE("k-center and facility location pick the reference rows of the digits") {
    const nlohmann::json file = golden("digits.json");
    const JointPool pool = digits();
    if (file.is_null() || pool.rows == 0) return;
    REQUIRE(pool.rows == file["checks"]["rows"]);

    const auto& centres = file["k_center"][0];
    const Picked spread = pick_over(2, "k-center", pool, {.k = centres["k"]});
    CHECK(spread.ids == centres["expected"]["picks"].get<std::vector<std::int64_t>>());

    const auto& facility = file["facility_location"][0];
    const Picked picked =
        pick_over(2, "facility-location", pool,
                  {.k = facility["k"], .similarity = Similarity::neg_squared_distance});
    CHECK(picked.ids == facility["expected"]["picks"].get<std::vector<std::int64_t>>());
    CHECK(picked.scores == facility["expected"]["gains"].get<std::vector<float>>());
}
