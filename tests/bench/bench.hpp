#pragma once

// What the benchmarks share: the best time of several, options from the command line, and scores
// from a raw file of little-endian floats.

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "src/base/check.hpp"
#include "src/base/huge_pages.hpp"

namespace thresher::bench {

/// Processor seconds that this process, all its threads together, takes for `body`. On an idle
/// machine, with one thread, these are the seconds that pass; on a busy one they leave out what
/// others took.
template <class Body>
double cpu_seconds(const Body& body) {
    const auto now = [] {
        timespec time{};
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
        return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
    };
    const double begin = now();
    body();
    return now() - begin;
}

/// Seconds that pass while `body` runs.
template <class Body>
double wall_seconds(const Body& body) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// The most memory that this process has had so far, in bytes. Not getrusage()'s, which begins with
/// the peak of the process that started this one.
inline std::int64_t peak_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        std::int64_t kibibytes = 0;
        if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
    }
    throw Error("/proc/self/status has no VmHWM, the peak memory of the process");
}

/// The least of the times it is told.
struct Best {
    double value = std::numeric_limits<double>::infinity();
    void add(double time) { value = std::min(value, time); }
};

/// The value after `name` on the command line, or `otherwise`.
inline std::string option(int argc, char** argv, const std::string& name,
                          const std::string& otherwise) {
    for (int i = 1; i + 1 < argc; ++i) {
        if (argv[i] == name) return argv[i + 1];
    }
    return otherwise;
}

inline std::vector<float> read_floats(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    THRESHER_CHECK_AS(FileError, file.is_open(), "{}: cannot be opened", path);
    const auto bytes = static_cast<std::streamsize>(file.tellg());
    // On huge pages, as NumPy's arrays of this size are.
    std::vector<float> values;
    values.reserve(static_cast<std::size_t>(bytes) / sizeof(float));
    advise_huge_pages(values.data(), static_cast<std::size_t>(bytes));
    values.resize(static_cast<std::size_t>(bytes) / sizeof(float));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(values.data()), bytes);
    THRESHER_CHECK_AS(FileError, file.good(), "{}: cannot be read", path);
    return values;
}

}  // namespace thresher::bench
