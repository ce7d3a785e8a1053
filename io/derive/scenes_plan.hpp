#pragma once

// What options for scenes mean for a pool: which rows are items of which class. Used inside io.

#include <cstdint>
#include <string>
#include <vector>

#include "io/derive/scenes.hpp"
#include "io/pool/pool_file.hpp"
#include "src/environments/images/scene.hpp"

namespace thresher::io {

struct ScenesPlan {
    std::vector<std::int64_t> classes;  ///< of the pool, by class of the scenes
    std::vector<std::string> class_names;
    std::vector<double> shares;
    SceneRows rows;
};

/// Throws UsageError naming all that does not fit. Local.
ScenesPlan plan_scenes(const PoolFile& pool, const ScenesOptions& options);

}  // namespace thresher::io
