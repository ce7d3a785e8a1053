#pragma once

// Who chooses the batches of a game: any acquisition of the program, and oracles, which know the
// reward of what they choose.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/environments/environment.hpp"
#include "src/environments/proxy.hpp"

namespace thresher {

/// A game between two batches.
struct Situation {
    const Environment& environment;
    const Proxy& proxy;
    std::vector<std::int32_t> picked;  ///< candidates labelled so far
    std::size_t metric = 0;            ///< that oracles look at, of its metric_names()
    std::uint64_t seed = 0;            ///< of choices that draw
    std::uint32_t round = 0;
};

inline constexpr std::string_view kGreedyOracle = "oracle", kBestSingles = "best-singles";

/// Names that choose_batch() knows: pointwise acquisitions that need no more than class
/// predictions, joint acquisitions, and the oracles.
std::vector<std::string> choosers();

/// Throws UsageError, listing the known ones.
void check_chooser(std::string_view name);

/// The batch of `b` candidates, in pick order, that the chooser called `name` labels next. A
/// pointwise acquisition takes the b best by the learner of all that is labelled; a joint one picks
/// them together, with the features as embeddings. Throws UsageError for an unknown name, Error
/// where fewer than `b` candidates are left. Local.
std::vector<std::int32_t> choose_batch(std::string_view name, const Situation& situation,
                                       std::int64_t b);

/// The metric on the reward points after labelling each single candidate in addition, [N]; that
/// before where it is picked already. Local.
std::vector<double> metrics_of_singles(const Situation& situation);

}  // namespace thresher
