// The project's reference numbers for acquisitions, where they are at hand.

#include <algorithm>
#include <cmath>
#include <map>

#include "src/acquisition/acquisition.hpp"
#include "src/acquisition/outputs.hpp"
#include "tests/support/golden.hpp"

using namespace thresher;
using namespace thresher::test;

namespace {

struct Outputs {
    std::vector<float> log_probs;
    std::int64_t rows, samples, classes;
};

Outputs outputs_of(const nlohmann::json& test) {
    const auto& shape = test["input"]["shape"];
    Outputs outputs{floats(test["input"]), shape[0], shape[1], shape[2]};
    const std::vector<float> raw = outputs.log_probs;
    if (test["input_kind"] == "logits") {
        logits_to_log_probs(raw, outputs.classes, outputs.log_probs);
    } else {
        probabilities_to_log_probs(raw, outputs.classes, outputs.log_probs);
    }
    return outputs;
}

std::vector<float> score(const char* name, const Outputs& outputs) {
    PredictionView view;
    view.log_probs = outputs.log_probs;
    view.samples = outputs.samples;
    view.classes = outputs.classes;
    std::vector<float> scores(static_cast<std::size_t>(outputs.rows));
    find_acquisition(name).score(view, scores);
    return scores;
}

void check_close(const std::vector<float>& found, const nlohmann::json& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK(close(found[i], expected[i].get<double>()));
    }
}

/// Our name for each key of the reference file.
const std::map<std::string, const char*> kNames{{"least_confidence", "least-confidence"},
                                                {"margin_score", "margin"},
                                                {"predictive_entropy", "entropy"},
                                                {"expected_entropy", "expected-entropy"},
                                                {"bald", "bald"},
                                                {"average_kl", "average-kl"},
                                                {"mean_std", "mean-std"},
                                                {"variation_ratio", "variation-ratio"},
                                                {"vote_entropy", "vote-entropy"}};

}  // namespace

TEST_CASE("scores of class outputs agree with the reference numbers") {
    const nlohmann::json cases = golden("acquisitions.json");
    if (cases.is_null()) return;
    for (const char* group : {"cases", "adversarial"}) {
        for (const auto& test : cases[group]) {
            const Outputs outputs = outputs_of(test);
            for (const auto& [key, expected] : test["expected"].items()) {
                const auto name = kNames.find(key);
                if (name == kNames.end()) continue;  // margin, of which ours is 1 - it; sums
                INFO(test["name"] << ", " << key);
                const std::vector<float> scores = score(name->second, outputs);
                check_close(scores, expected);
                if (!test.contains("must_be") || !test["must_be"].contains(key)) continue;
                for (const float value : scores) {
                    CHECK(value >= test["must_be"][key]["min"].get<float>());
                    CHECK(value <= test["must_be"][key]["max"].get<float>());
                }
            }
            if (!test.contains("expected_order")) continue;
            for (const auto& [key, order] : test["expected_order"].items()) {
                const std::vector<float> scores = score(kNames.at(key), outputs);
                for (std::size_t i = 0; i + 1 < order.size(); ++i) {
                    CHECK(scores[order[i].get<std::size_t>()] >=
                          scores[order[i + 1].get<std::size_t>()]);
                }
            }
        }
    }
    for (const auto& test : cases["reject"]) {
        const auto rejected = test["rejected_rows"].get<std::vector<std::size_t>>();
        for (const auto& [key, name] : kNames) {
            INFO(test["name"] << ", " << key);
            const auto scores = score(name, outputs_of(test));
            for (std::size_t row = 0; row < scores.size(); ++row) {
                const bool expected =
                    std::find(rejected.begin(), rejected.end(), row) != rejected.end();
                CHECK(std::isnan(scores[row]) == expected);
            }
        }
    }
}

TEST_CASE("el2n and gradient norms agree with the reference numbers") {
    const nlohmann::json cases = golden("acquisitions.json");
    if (cases.is_null()) return;
    for (const auto& test : cases["el2n"]) {
        INFO(test["name"]);
        const auto& shape = test["probs"]["shape"];
        std::vector<float> log_probs = floats(test["probs"]);
        const std::vector<float> raw = log_probs;
        probabilities_to_log_probs(raw, shape[2], log_probs);
        const auto targets = test["labels"].get<std::vector<std::int64_t>>();
        PredictionView view;
        view.log_probs = log_probs;
        view.samples = shape[1];
        view.classes = shape[2];
        view.targets = targets;
        std::vector<float> scores(targets.size());
        find_acquisition("el2n").score(view, scores);
        check_close(scores, test["expected"]["el2n"]);
    }
    const nlohmann::json selection = golden("selection.json");
    if (selection.is_null()) return;
    for (const auto& test : selection["badge"]) {
        INFO(test["name"]);
        std::vector<float> log_probs = floats(test["probs"]);
        const std::vector<float> raw = log_probs;
        const std::vector<float> embeddings = floats(test["embeddings"]);
        PredictionView view;
        view.samples = 1;
        view.classes = test["probs"]["shape"][1];
        probabilities_to_log_probs(raw, view.classes, log_probs);
        view.log_probs = log_probs;
        view.embeddings = embeddings;
        view.embedding_size = test["embeddings"]["shape"][1];
        std::vector<float> scores(test["probs"]["shape"][0].get<std::size_t>());
        find_acquisition("gradient-norm").score(view, scores);
        check_close(scores, test["expected"]["gradient_norm"]);
    }
}

TEST_CASE("alignment losses of pairs agree with the reference numbers") {
    const nlohmann::json cases = golden("acquisitions.json");
    if (cases.is_null()) return;
    const auto& test = cases["alignment"];
    std::map<std::string, std::vector<float>> losses;
    for (const auto& [role, key] : {std::pair("learner", "online"), {"reference", "reference"}}) {
        const std::vector<float> images = floats(test[std::string(key) + "_image"]);
        const std::vector<float> texts = floats(test[std::string(key) + "_text"]);
        const std::size_t rows = test["expected"]["learnability"].size();
        for (std::size_t row = 0; row < rows; ++row) {
            double dot = 0.0;
            for (std::size_t i = row * images.size() / rows; i < (row + 1) * images.size() / rows;
                 ++i) {
                dot += double{images[i]} * double{texts[i]};
            }
            losses[role].push_back(static_cast<float>(-dot));
        }
        check_close(losses[role], test["expected"][std::string(key) + "_loss"]);
    }
    PredictionView view;
    for (const auto& [role, values] : losses) view.losses[role] = values;
    std::vector<float> scores(losses["learner"].size());
    find_acquisition("learnability").score(view, scores);
    check_close(scores, test["expected"]["learnability"]);
}

TEST_CASE("loss scores agree with the reference numbers") {
    const nlohmann::json cases = golden("acquisitions.json");
    if (cases.is_null()) return;
    for (const auto& test : cases["losses"]) {
        INFO(test["name"]);
        std::map<std::string, std::vector<float>> losses;
        for (const char* role : {"learner", "reference"}) {
            if (test.contains("labels")) {
                const auto& logits = test[std::string(role) + "_logits"];
                const std::size_t classes = logits["shape"][1];
                const std::vector<float> raw = floats(logits);
                std::vector<float> log_probs(raw.size());
                logits_to_log_probs(raw, static_cast<std::int64_t>(classes), log_probs);
                for (std::size_t row = 0; row < test["labels"].size(); ++row) {
                    losses[role].push_back(
                        -log_probs[row * classes + test["labels"][row].get<std::size_t>()]);
                }
            } else {
                losses[role] = floats(test[std::string(role) + "_loss"]);
            }
        }
        PredictionView view;
        for (const auto& [role, values] : losses) view.losses[role] = values;
        for (const auto& [key, expected] : test["expected"].items()) {
            std::string name = key;
            std::replace(name.begin(), name.end(), '_', '-');
            std::vector<float> scores(losses["learner"].size());
            find_acquisition(name).score(view, scores);
            check_close(scores, expected);
        }
    }
}
