// Points in the plane: clusters on a ring, whose classes take turns, so that a learner must have
// seen a cluster to know it. Some clusters are crowded with copies that teach nothing new.

#include <array>
#include <cmath>
#include <numbers>

#include "src/base/check.hpp"
#include "src/environments/makers.hpp"
#include "src/random/philox.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kClusters = 12, kClasses = 4;
constexpr double kDeviation = 0.08, kCopyDeviation = 0.01, kBlobDeviation = 0.2;
constexpr double kOriginals = 0.25;  ///< share of the candidates that are no copies
constexpr double kBlobShare = 0.7;

/// Draws of Stream::environment by what they are for.
enum Round : std::uint32_t { kLabelled = 16, kCandidates, kReward, kTest, kCrowding };

/// Cluster k is as likely as 1 / (1 + its place in a drawn order).
class Crowding {
  public:
    explicit Crowding(std::uint64_t seed) {
        const KeyedRandom random(seed, Stream::environment, kCrowding);
        double sum = 0.0;
        for (std::int64_t k = 0; k < kClusters; ++k) {
            std::int64_t place = 0;
            for (std::int64_t other = 0; other < kClusters; ++other) {
                place += random.bits(other) < random.bits(k) ? 1 : 0;
            }
            sum += 1.0 / (1.0 + static_cast<double>(place));
            until_[static_cast<std::size_t>(k)] = sum;
        }
    }
    std::int64_t cluster(double u) const {
        std::int64_t k = 0;
        while (k + 1 < kClusters && u * until_.back() > until_[static_cast<std::size_t>(k)]) ++k;
        return k;
    }

  private:
    std::array<double, kClusters> until_{};
};

void add(Points& points, double x, double y, std::int64_t target) {
    points.features.push_back(static_cast<float>(x));
    points.features.push_back(static_cast<float>(y));
    points.targets.push_back(static_cast<std::int32_t>(target));
    ++points.rows;
}

void add_on_ring(Points& points, const KeyedRandom& random, std::int64_t id, std::int64_t cluster) {
    const double angle = 2.0 * std::numbers::pi * static_cast<double>(cluster) / kClusters;
    add(points, std::cos(angle) + kDeviation * random.normal(id, 4),
        std::sin(angle) + kDeviation * random.normal(id, 5), cluster % kClasses);
}

/// `count` points of clusters that are all as likely.
Points even_points(std::int64_t count, std::uint64_t seed, std::uint32_t round) {
    const KeyedRandom random(seed, Stream::environment, round);
    Points points;
    for (std::int64_t i = 0; i < count; ++i) {
        add_on_ring(points, random, i, random.integer(i, kClusters));
    }
    return points;
}

Environment ring(const EnvironmentOptions& options, std::uint64_t seed, double blob_share) {
    Environment environment;
    environment.dimensions = 2;
    environment.classes = kClasses;
    const Crowding crowding(seed);
    const KeyedRandom labelled(seed, Stream::environment, kLabelled);
    for (std::int64_t i = 0; i < options.labelled; ++i) {
        add_on_ring(environment.labelled, labelled, i, crowding.cluster(labelled.uniform(i)));
    }
    const KeyedRandom random(seed, Stream::environment, kCandidates);
    const std::int64_t distinct = options.candidates / options.repeat;
    const auto in_blob = std::llround(blob_share * static_cast<double>(distinct));
    Points& candidates = environment.candidates;
    std::vector<std::int64_t> originals;
    for (std::int64_t i = 0; i < distinct; ++i) {
        if (i < in_blob) {
            add(candidates, kBlobDeviation * random.normal(i, 4),
                kBlobDeviation * random.normal(i, 5), random.integer(i, kClasses));
        } else if (originals.empty() || random.uniform(i, 2) < kOriginals) {
            originals.push_back(i);
            add_on_ring(candidates, random, i, crowding.cluster(random.uniform(i)));
        } else {
            const auto from = static_cast<std::size_t>(
                originals[static_cast<std::size_t>(random.integer(i, std::ssize(originals), 3))]);
            add(candidates,
                double{candidates.features[2 * from]} + kCopyDeviation * random.normal(i, 4),
                double{candidates.features[2 * from + 1]} + kCopyDeviation * random.normal(i, 5),
                candidates.targets[from]);
        }
    }
    environment.reward = even_points(options.reward, seed, kReward);
    environment.test = even_points(options.test, seed, kTest);
    return environment;
}

}  // namespace

Environment make_ring(const EnvironmentOptions& options, std::uint64_t seed, const Points&,
                      std::int64_t, std::int64_t) {
    return ring(options, seed, 0.0);
}

Environment make_ring_with_blob(const EnvironmentOptions& options, std::uint64_t seed,
                                const Points&, std::int64_t, std::int64_t) {
    return ring(options, seed, kBlobShare);
}

Environment make_standard(const EnvironmentOptions& options, std::uint64_t, const Points&,
                          std::int64_t, std::int64_t) {
    constexpr std::uint64_t kStandardSeed = 0;
    THRESHER_CHECK_AS(
        UsageError, options.candidates == 50 && options.labelled == 20 && options.repeat == 1,
        "the standard environment has 50 candidates, each once, and 20 labelled points, so that "
        "policies can be compared in it; {} candidates, {} times each, and {} points were asked "
        "for",
        options.candidates, options.repeat, options.labelled);
    return ring(options, kStandardSeed, 0.0);
}

}  // namespace thresher
