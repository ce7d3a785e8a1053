#pragma once

// The state of training as named bytes, and the few conversions between values and bytes.

#include <cstddef>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "src/base/check.hpp"

namespace thresher {

/// Name -> bytes: all that is needed to go on with the same bits.
using TrainState = std::map<std::string, std::vector<std::byte>>;

template <class T>
void put(TrainState& state, const std::string& name, std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    state[name].assign(bytes.begin(), bytes.end());
}

/// Throws FileError where the entry is missing.
inline const std::vector<std::byte>& find_entry(const TrainState& state, const std::string& name) {
    const auto found = state.find(name);
    THRESHER_CHECK_AS(FileError, found != state.end(),
                      "the training state has no entry '{}'; it is damaged or of another run",
                      name);
    return found->second;
}

/// Fills `values`; throws FileError where the entry is missing or has another size.
template <class T>
void take(const TrainState& state, const std::string& name, std::span<T> values) {
    const auto& bytes = find_entry(state, name);
    THRESHER_CHECK_AS(
        FileError, bytes.size() == values.size_bytes(),
        "entry '{}' of the training state has {} bytes, but {} are needed; resume with the "
        "model and options the run was started with",
        name, bytes.size(), values.size_bytes());
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
}

/// All values of an entry. Throws FileError where it is missing, or holds a part of one.
template <class T>
std::vector<T> values_in(const TrainState& state, const std::string& name) {
    std::vector<T> values(find_entry(state, name).size() / sizeof(T));
    take(state, name, std::span(values));
    return values;
}

}  // namespace thresher
