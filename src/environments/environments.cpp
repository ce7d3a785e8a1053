#include "src/environments/environments.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>

#include "src/base/check.hpp"
#include "src/environments/makers.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

/// Draws of Stream::environment by what they are for.
enum Round : std::uint32_t { kOrder, kPhase };

}  // namespace

const std::vector<EnvironmentInfo>& environments() {
    static const std::vector<EnvironmentInfo> table{
        {"ring",
         "12 clusters on a ring, 4 classes in turn; some clusters are crowded with near copies",
         false, 16, make_ring},
        {"ringdup",
         "the ring, with 70 % of the candidates in one blob whose classes cannot be told", false,
         16, make_ring_with_blob},
        {"pool", "a stratified draw from any pool with targets, in principal components if asked",
         true, 0, make_from_pool},
    };
    return table;
}

const EnvironmentInfo& find_environment(std::string_view name) {
    std::vector<std::string_view> known;
    for (const EnvironmentInfo& environment : environments()) {
        if (environment.name == name) return environment;
        known.push_back(environment.name);
    }
    fail<UsageError>("unknown environment \"{}\"; known: {}", name, fmt::join(known, ", "));
}

void check_environment_options(const EnvironmentOptions& options) {
    static_cast<void>(find_environment(options.name));
    const auto check = [](std::string_view what, std::int64_t value) {
        THRESHER_CHECK_AS(UsageError, value >= 1,
                          "an environment of {} {} was asked for; 1 or more are needed", value,
                          what);
    };
    check("candidates", options.candidates);
    check("labelled points", options.labelled);
    check("reward points", options.reward);
    check("test points", options.test);
    check("copies of each candidate", options.repeat);
    THRESHER_CHECK_AS(UsageError, options.candidates % options.repeat == 0,
                      "{} candidates cannot be {} copies of each; the first must be a multiple of "
                      "the second",
                      options.candidates, options.repeat);
    THRESHER_CHECK_AS(UsageError, options.repeat_noise >= 0.0,
                      "the noise of copies is {}; it must be 0 or more", options.repeat_noise);
    THRESHER_CHECK_AS(UsageError, options.components >= 0,
                      "{} principal components were asked for; 0 (none) or more are allowed",
                      options.components);
}

std::vector<std::int64_t> draw_rows(std::span<const std::int64_t> targets,
                                    const EnvironmentOptions& options, std::uint64_t seed) {
    struct Entry {
        std::int64_t target;
        std::uint64_t key;
        std::int64_t row;
        double place = 0.0;
    };
    const KeyedRandom order(seed, Stream::environment, kOrder);
    const KeyedRandom phase(seed, Stream::environment, kPhase);
    std::vector<Entry> entries;
    for (std::size_t row = 0; row < targets.size(); ++row) {
        const auto id = static_cast<std::int64_t>(row);
        if (targets[row] >= 0) entries.push_back({targets[row], order.bits(id), id});
    }
    THRESHER_CHECK(options.rows() <= std::ssize(entries),
                   "an environment of {} labelled, {} distinct candidates, {} reward and {} test "
                   "points needs {} rows with a target, but the pool has {}; ask for fewer",
                   options.labelled, options.candidates / options.repeat, options.reward,
                   options.test, options.rows(), entries.size());
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return std::tie(a.target, a.key, a.row) < std::tie(b.target, b.key, b.row);
    });
    // Row i of the n of its class stands at (i + u) / n, with one u a class: whatever is cut out of
    // the order has every class in its share.
    for (std::size_t begin = 0, end = 0; begin < entries.size(); begin = end) {
        while (end < entries.size() && entries[end].target == entries[begin].target) ++end;
        const double u = phase.uniform(entries[begin].target);
        for (std::size_t i = begin; i < end; ++i) {
            entries[i].place =
                (static_cast<double>(i - begin) + u) / static_cast<double>(end - begin);
        }
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return std::tie(a.place, a.target) < std::tie(b.place, b.target);
    });
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < options.rows(); ++i) {
        rows.push_back(entries[static_cast<std::size_t>(i)].row);
    }
    return rows;
}

Environment make_environment(const EnvironmentOptions& options, std::uint64_t seed,
                             const Points& pool, std::int64_t dimensions, std::int64_t classes) {
    check_environment_options(options);
    const EnvironmentInfo& info = find_environment(options.name);
    THRESHER_CHECK(!info.reads_pool || pool.rows == options.rows(),
                   "environment {} is made of {} rows of a pool, but {} were given", info.name,
                   options.rows(), pool.rows);
    Environment environment = info.make(options, seed, pool, dimensions, classes);
    environment.name = info.name;
    repeat_candidates(environment, options, seed);
    return environment;
}

}  // namespace thresher
