#pragma once

// The options that say in which environment batches are chosen, and how they are judged: shared by
// table, env and policy.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/pool/pool_file.hpp"
#include "jobs/options/pool_options.hpp"
#include "src/environments/environments.hpp"
#include "src/environments/images/detection_proxy.hpp"
#include "src/environments/points/point_proxy.hpp"
#include "src/policy/lookup_table/items.hpp"

namespace thresher::jobs {

struct EnvironmentChoice {
    EnvironmentOptions environment;
    PoolOptions pool;
    ProxyOptions proxy;
    std::string supervision = "supervised", retrain = "scratch";
    std::int64_t warm_steps = 20;
    std::string rows;          ///< file of ids: the candidates of a pool; empty: drawn
    std::int64_t hidden = -1;  ///< the environment's own, as the next where they are 0
    std::int64_t steps = 0;
    double learning_rate = 0.0, threshold = 0.0;
    /// images: the model, pools of the reward and test images, and the ids that are labelled.
    std::string detector, reward_pool, test_pool, labelled_rows;
    bool full = false;              ///< images: all of the detector is trained
    std::int64_t proxy_batch = 16;  ///< images: of a step

    bool has_images() const { return environment.name == "images"; }
    /// Of the proxy's metrics the one that is looked at unless another is named.
    std::string metric() const { return has_images() ? "average-precision" : "accuracy"; }
    /// The options of the proxy with the texts above read into them. Throws UsageError.
    ProxyOptions proxy_options(std::uint64_t seed) const;
    DetectionProxyOptions detection_options(std::uint64_t seed) const;
};

/// Adds --environment, those of pools, and how many points of which kind there are.
void add_environment_options(CLI::App& app, EnvironmentChoice& options);
/// Adds --proxy and how it is trained.
void add_proxy_options(CLI::App& app, EnvironmentChoice& options);

/// Throws UsageError where the command line gives an option that the others leave without effect.
/// Local.
void refuse_unused(const Job& job, const EnvironmentChoice& options);
/// The same of one of them, which takes effect `where`.
void refuse_unless(bool takes_effect, const Job& job, const char* option, const std::string& where);

/// An environment and whose the candidates are.
struct OpenEnvironment {
    Environment environment;
    std::shared_ptr<const DetectionParts> images;  ///< behind the points; null where there are none
    std::shared_ptr<const Model> detector;         ///< that made points of them
    std::vector<std::int64_t> ids;  ///< [N] of the pool's rows, or positions; copies share theirs
    std::string checksum;           ///< of all that tables and policies depend on
};

/// Draws environments of images with boxes from a pool that holds such. Local.
class ImageSource {
  public:
    /// Reads the detector, the reward and the test images. Throws FileError, UsageError.
    ImageSource(const io::PoolFile& pool, const EnvironmentChoice& options);

    /// All of an OpenEnvironment but its checksum. The labelled set has a box of each class, where
    /// the half of the pool has.
    OpenEnvironment open(std::uint64_t seed, Half half) const;

  private:
    /// Of the labelled set, then of the candidates.
    std::vector<std::int64_t> draw(std::uint64_t seed, Half half) const;

    io::PoolFile pool_;
    EnvironmentOptions options_;
    std::vector<std::int64_t> labelled_, candidates_;  ///< rows that were named
    Boxes boxes_;                                      ///< of all rows
    MemoryPool reward_, test_;
    std::shared_ptr<const Model> detector_;
    std::string detector_name_;
};

/// Makes environments; the pool that they are drawn from, where there is one, is opened once.
class EnvironmentSource {
  public:
    /// `options` must outlive it. Throws the same UsageError or FileError on all ranks. Collective.
    EnvironmentSource(Job& job, const EnvironmentChoice& options);

    /// The environment of `seed` on every rank; `half` of the pool's rows is what it is drawn from.
    /// Throws the same error on all ranks. Collective.
    OpenEnvironment open(std::uint64_t seed, Half half = Half::training) const;

  private:
    OpenEnvironment make(std::uint64_t seed, Half half) const;
    /// Of a pool, as make_environment wants them.
    std::vector<std::int64_t> rows_of(std::uint64_t seed, Half half) const;

    Collective& collective_;
    const EnvironmentChoice& options_;
    std::optional<io::PoolFile> pool_;
    std::optional<ImageSource> images_;
    std::vector<std::int64_t> candidates_;              ///< rows that --rows names
    std::array<std::vector<std::int64_t>, 2> targets_;  ///< of the other rows, of each half
};

/// The proxy of an environment, under these options. Throws UsageError, Error. Local.
std::unique_ptr<Proxy> make_proxy(const OpenEnvironment& open, const EnvironmentChoice& options,
                                  std::uint64_t seed);

/// How many labels of each of the K classes labelling a candidate gives, [N, K]. Local.
std::vector<float> label_counts_of(const OpenEnvironment& open);

/// What estimators know of the candidates, by a learner of the labelled set. Local.
CandidateFacts facts_of(const OpenEnvironment& open, const Proxy& proxy);

}  // namespace thresher::jobs
