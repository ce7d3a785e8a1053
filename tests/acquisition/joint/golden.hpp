#pragma once

// The project's reference numbers, where they are at hand.

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"

namespace thresher::test {

/// A file of reference numbers, or null where it is absent, which it says.
inline nlohmann::json golden(const std::string& name) {
    std::ifstream file(THRESHER_GOLDEN_DIR "/" + name);
    if (!file) {
        WARN("skipped: no " THRESHER_GOLDEN_DIR "/" << name);
        return nullptr;
    }
    return nlohmann::json::parse(file);
}

inline std::vector<float> floats(const nlohmann::json& array) {
    return array["data"].get<std::vector<float>>();
}

inline std::vector<float> logs(const nlohmann::json& array) {
    std::vector<float> values = floats(array);
    for (float& value : values) value = std::log(value);
    return values;
}

/// To the tolerance of float32 in the file's README.
inline bool close(double found, double expected) {
    return std::abs(found - expected) <= 2e-5 * std::max(1.0, std::abs(expected));
}

}  // namespace thresher::test
