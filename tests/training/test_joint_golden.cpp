#include <cmath>
#include <map>

#include "src/training/train_options.hpp"
#include "tests/support/golden.hpp"
#include "tests/training/pair_support.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

Towers golden_towers(const nlohmann::json& embeddings, const std::string& model) {
    Towers towers;
    towers.image = floats(embeddings[model + "_image"]);
    towers.text = floats(embeddings[model + "_text"]);
    towers.size = embeddings[model + "_image"]["shape"][1];
    towers.scale = embeddings["a"];
    towers.bias = embeddings["b"];
    return towers;
}

}  // namespace

TEST_CASE("sizes of super-batches are rounded, not floored") {
    TrainOptions options;
    options.method = "jest";
    const auto candidates_for = [&](std::int64_t batch, double left_out) {
        options.filter_ratio = 1.0 / (1.0 - left_out);
        return super_batch_size(options, batch);
    };
    CHECK(candidates_for(32768, 0.8) == 163840);
    CHECK(candidates_for(7, 0.3) == 10);  // 1 - 0.3 is a little less than 0.7
    const auto reference = golden("jest.json");
    if (reference.is_null()) return;
    for (const auto& counts : reference["counts"]) {
        // Its chunks are of equal size, ours differ by one at most, so that any batch will do.
        const double kept =
            counts["B"].get<double>() * (1.0 - counts["filter_ratio"].get<double>());
        const std::int64_t selected = counts["expected"]["selected"];
        if (std::abs(kept - static_cast<double>(selected)) > 0.5) continue;
        CHECK(candidates_for(selected, counts["filter_ratio"]) == counts["B"]);
    }
}

TEST_CASE("pairwise losses, logits and their sums are those of the reference") {
    const auto reference = golden("jest.json");
    if (reference.is_null()) return;
    const auto& embeddings = reference["embeddings"];
    const Towers learner = golden_towers(embeddings, "learner");
    const Towers fixed = golden_towers(embeddings, "reference");
    const auto alone = make_local_collective();
    for (const auto& item : reference["cases"]) {
        const std::string name = item["name"];
        if (!name.starts_with("siglip")) continue;
        INFO(name);
        const bool learns = name.find("learnability") != std::string::npos;
        const PairScores scores(*alone, learns ? learner.all() : PairEmbeddings{}, fixed.all());
        for (const auto& step : item["chunk_logits"]) {
            std::vector<double> logits = scores.diagonal();
            std::vector<std::int64_t> chosen;
            for (std::int64_t i = 0; i < std::ssize(logits); ++i) {
                if (step["mask"][at(i)] == 1) chosen.push_back(i);
            }
            scores.add(chosen, logits);
            for (std::size_t i = 0; i < logits.size(); ++i) {
                const auto& expected = step["logits_null_where_chosen"][i];
                if (!expected.is_null()) CHECK(close(logits[i], expected));
            }
        }
        for (const auto& path : item["additivity"]) {
            std::vector<double> logits = scores.diagonal();
            double sum = 0.0;
            for (std::size_t i = 0; i < path["ids"].size(); ++i) {
                const std::int64_t id = path["ids"][i];
                CHECK(close(logits[at(id)], path["increments"][i]));
                sum += logits[at(id)];
                scores.add(std::vector{id}, logits);
            }
            CHECK(close(sum, path["pair_sum"]));
        }
    }
}

TEST_CASE("sets of candidates are drawn with the probabilities of the reference") {
    const auto reference = golden("jest.json");
    if (reference.is_null()) return;
    constexpr std::int64_t kDraws = 10000;
    const auto alone = make_local_collective();
    for (const auto& item : reference["cases"]) {
        const std::int64_t rows = item["scores"]["shape"][0];
        const std::vector<double> matrix = item["scores"]["data"];
        for (const auto& law : item["set_law"]) {
            const std::int64_t chunks = law["n_chunks"], draws = law["n_draws"];
            INFO(item["name"] << ", " << chunks << " chunks of " << draws);
            std::map<std::vector<std::int64_t>, std::int64_t> drawn;
            for (std::int64_t update = 0; update < kDraws; ++update) {
                const JointDraw draw{
                    .size = chunks * draws, .chunks = chunks, .seed = 11, .update = update};
                ++drawn[draw_joint_sub_batch(*alone, diagonal_of(matrix, rows), draw,
                                             sums_of(matrix, rows))
                            .places];
            }
            std::int64_t total = 0;
            for (const auto& set : law["sets"]) {
                const double expected = kDraws * set["p"].get<double>();
                const std::int64_t found = drawn[set["ids"]];
                total += found;
                CHECK(std::abs(static_cast<double>(found) - expected) <=
                      5.0 * std::sqrt(expected * (1.0 - expected / kDraws)) + 1.0);
            }
            CHECK(total == kDraws);
        }
    }
}
