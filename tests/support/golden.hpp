#pragma once

// The project's reference numbers, where they are at hand.

#include <cmath>
#include <fstream>
#include <limits>
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

/// A number, or "nan", "inf", "-inf", which JSON does not know.
inline float to_float(const nlohmann::json& value) {
    if (value.is_number()) return value.get<float>();
    if (value == "nan") return std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    return value == "inf" ? infinity : -infinity;
}

/// A list of numbers, or what stands under "data".
inline std::vector<float> floats(const nlohmann::json& array) {
    std::vector<float> values;
    for (const auto& value : array.is_array() ? array : array["data"]) {
        values.push_back(to_float(value));
    }
    return values;
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
