// The project's reference numbers for acquisitions, where they are at hand.

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "src/acquisition/acquisition.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

namespace {

nlohmann::json golden() {
    std::ifstream file(THRESHER_GOLDEN_DIR "/acquisitions.json");
    if (!file) {
        WARN("skipped: no " THRESHER_GOLDEN_DIR "/acquisitions.json");
        return nullptr;
    }
    return nlohmann::json::parse(file);
}

float number(const nlohmann::json& value) {
    if (value.is_number()) return value.get<float>();
    if (value == "nan") return std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    return value == "inf" ? infinity : -infinity;
}

std::vector<float> numbers(const nlohmann::json& values) {
    std::vector<float> result;
    for (const auto& value : values) result.push_back(number(value));
    return result;
}

struct Outputs {
    std::vector<float> log_probs;
    std::int64_t rows, samples, classes;
};

Outputs outputs_of(const nlohmann::json& test) {
    const auto& shape = test["input"]["shape"];
    Outputs outputs{numbers(test["input"]["data"]), shape[0], shape[1], shape[2]};
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
        const double value = expected[i].get<double>();
        CHECK(std::abs(found[i] - value) <= 2e-5 * std::max(1.0, std::abs(value)));
    }
}

}  // namespace

TEST_CASE("uncertainty scores agree with the reference numbers") {
    const nlohmann::json cases = golden();
    if (cases.is_null()) return;
    for (const char* group : {"cases", "adversarial"}) {
        for (const auto& test : cases[group]) {
            INFO(test["name"]);
            const Outputs outputs = outputs_of(test);
            check_close(score("least-confidence", outputs), test["expected"]["least_confidence"]);
            check_close(score("margin", outputs), test["expected"]["margin_score"]);
            check_close(score("entropy", outputs), test["expected"]["predictive_entropy"]);
        }
    }
    for (const auto& test : cases["reject"]) {
        INFO(test["name"]);
        const auto rejected = test["rejected_rows"].get<std::vector<std::size_t>>();
        const auto scores = score("entropy", outputs_of(test));
        for (std::size_t row = 0; row < scores.size(); ++row) {
            const bool expected =
                std::find(rejected.begin(), rejected.end(), row) != rejected.end();
            CHECK(std::isnan(scores[row]) == expected);
        }
    }
}

TEST_CASE("loss scores agree with the reference numbers") {
    const nlohmann::json cases = golden();
    if (cases.is_null()) return;
    for (const auto& test : cases["losses"]) {
        INFO(test["name"]);
        std::map<std::string, std::vector<float>> losses;
        for (const char* role : {"learner", "reference"}) {
            if (test.contains("labels")) {
                const auto& logits = test[std::string(role) + "_logits"];
                const std::size_t classes = logits["shape"][1];
                const std::vector<float> raw = numbers(logits["data"]);
                std::vector<float> log_probs(raw.size());
                logits_to_log_probs(raw, static_cast<std::int64_t>(classes), log_probs);
                for (std::size_t row = 0; row < test["labels"].size(); ++row) {
                    losses[role].push_back(
                        -log_probs[row * classes + test["labels"][row].get<std::size_t>()]);
                }
            } else {
                losses[role] = numbers(test[std::string(role) + "_loss"]);
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
