#include "src/environments/environments.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "src/base/check.hpp"
#include "src/environments/makers.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

/// Draws of Stream::environment by what they are for.
enum Round : std::uint32_t { kOrder, kPhase, kHalf };

}  // namespace

const std::vector<EnvironmentInfo>& environments() {
    static const std::vector<EnvironmentInfo> table{
        {"ring",
         "12 clusters on a ring, 4 classes in turn; some clusters are crowded with near copies",
         false, 16, make_ring},
        {"ringdup",
         "the ring, with 70 % of the candidates in one blob whose classes cannot be told", false,
         16, make_ring_with_blob},
        {"standard", "one draw of the ring, whatever the seed: 50 candidates, 20 labelled", false,
         16, make_standard},
        {"pool", "a stratified draw from any pool with targets, in principal components if asked",
         true, 0, make_from_pool},
        {"images", "images with boxes of a pool, seen as the trunk of a detector sees them", true,
         0, make_from_pool},
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

Half half_of(std::int64_t row) {
    // Under one seed for all, so that environments of any two seeds agree on it.
    static const KeyedRandom random(0, Stream::environment, kHalf);
    return random.bits(row) >> 63U == 0 ? Half::training : Half::fresh;
}

std::vector<std::int64_t> targets_of_half(std::span<const std::int64_t> targets, Half half) {
    std::vector<std::int64_t> own(targets.begin(), targets.end());
    for (std::int64_t row = 0; row < std::ssize(own); ++row) {
        if (half_of(row) != half) own[static_cast<std::size_t>(row)] = -1;
    }
    return own;
}

std::vector<std::int64_t> draw_rows(std::span<const std::int64_t> targets,
                                    const EnvironmentOptions& options, std::uint64_t seed) {
    // Row i of the n of its class stands at (i + u) / n, in order of keys and with one u a class:
    // whatever is cut out of the order has every class in its share.
    using Keyed = std::pair<std::uint64_t, std::int64_t>;  // key and row
    struct Class {
        std::int64_t rows = 0, taken = 0;
        std::vector<Keyed> first;  ///< those taken, a heap while they are looked for
    };
    const KeyedRandom order(seed, Stream::environment, kOrder);
    const KeyedRandom phase(seed, Stream::environment, kPhase);
    std::vector<Class> classes;
    std::int64_t known = 0;
    for (const std::int64_t target : targets) {
        if (target < 0) continue;
        if (target >= std::ssize(classes)) classes.resize(static_cast<std::size_t>(target) + 1);
        ++classes[static_cast<std::size_t>(target)].rows;
        ++known;
    }
    THRESHER_CHECK(
        options.rows() <= known,
        "an environment of {} labelled, {} distinct candidates, {} reward and {} test "
        "points needs {} rows with a target, but the half of the pool that it is drawn from "
        "has {}; ask for fewer",
        options.labelled, options.candidates / options.repeat, options.reward, options.test,
        options.rows(), known);
    // Which class stands where, before any row is looked at: no more rows are kept than drawn.
    using Place = std::pair<double, std::size_t>;  // and class
    std::priority_queue<Place, std::vector<Place>, std::greater<>> next;
    const auto stand = [&](std::size_t c) {
        const Class& own = classes[c];
        if (own.taken == own.rows) return;
        const double u = phase.uniform(static_cast<std::int64_t>(c));
        next.emplace((static_cast<double>(own.taken) + u) / static_cast<double>(own.rows), c);
    };
    for (std::size_t c = 0; c < classes.size(); ++c) stand(c);
    std::vector<std::size_t> drawn;
    for (std::int64_t i = 0; i < options.rows(); ++i) {
        const std::size_t c = next.top().second;
        next.pop();
        drawn.push_back(c);
        ++classes[c].taken;
        stand(c);
    }
    for (std::int64_t row = 0; row < std::ssize(targets); ++row) {
        const std::int64_t target = targets[static_cast<std::size_t>(row)];
        if (target < 0) continue;
        Class& own = classes[static_cast<std::size_t>(target)];
        const Keyed keyed{order.bits(row), row};
        if (std::ssize(own.first) == own.taken) {
            if (own.taken == 0 || keyed > own.first.front()) continue;
            std::pop_heap(own.first.begin(), own.first.end());
            own.first.back() = keyed;
        } else {
            own.first.push_back(keyed);
        }
        std::push_heap(own.first.begin(), own.first.end());
    }
    for (Class& own : classes) std::sort_heap(own.first.begin(), own.first.end());
    std::vector<std::size_t> at(classes.size(), 0);
    std::vector<std::int64_t> rows;
    for (const std::size_t c : drawn) rows.push_back(classes[c].first[at[c]++].second);
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
