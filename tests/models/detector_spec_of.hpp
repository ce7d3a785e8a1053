#pragma once

#include <string>

#include "src/models/detector/detector_spec.hpp"

namespace thresher {

inline PoolInfo box_pool(std::vector<std::int64_t> shape, std::int64_t classes = 3) {
    PoolInfo pool;
    pool.path = "boxes.h5";
    pool.input_shape = std::move(shape);
    pool.has_boxes = true;
    pool.classes = classes;
    return pool;
}

/// A detector for such a pool; an empty trunk is the default one.
inline ModelSpec detector_spec_of(const std::string& name, std::vector<std::int64_t> shape,
                                  const std::string& trunk = "", std::int64_t classes = 3) {
    ModelSpec spec = spec_for_pool(name, box_pool(std::move(shape), classes));
    use_trunk(spec, trunk);
    return spec;
}

}  // namespace thresher
