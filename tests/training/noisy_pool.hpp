#pragma once

// A pool with wrong targets, and the models that find them.

#include <memory>
#include <utility>
#include <vector>

#include "src/training/trainer.hpp"
#include "tests/support/toy_pool.hpp"

namespace thresher {

inline ModelSpec small_spec(const PoolInfo& pool, std::vector<std::int64_t> hidden = {8}) {
    ModelSpec spec = spec_for_pool("mlp", pool);
    spec.hidden = std::move(hidden);
    return spec;
}

/// Points whose quadrant is their class, of which about `share` have a target drawn anew.
inline MemoryPool noisy_pool(std::int64_t rows, double share) {
    MemoryPool pool = quadrant_pool(rows);
    pool.clean_targets = pool.targets;
    pool.info.has_clean_targets = true;
    const KeyedRandom random(3, Stream::label_noise, 0);
    for (std::int64_t i = 0; i < rows; ++i) {
        if (random.uniform(i, 0) >= share) continue;
        pool.targets[static_cast<std::size_t>(i)] = random.integer(rows + i, 4);
    }
    return pool;
}

/// A model that has learned the truth.
inline std::unique_ptr<Model> clean_reference() {
    const MemoryPool pool = quadrant_pool(256);
    auto model = make_model(small_spec(pool.info), 11);
    const auto source = all_examples(pool);
    const auto collective = make_local_collective();
    TrainOptions options;
    options.updates = 100;
    options.batch_size = 32;
    Trainer(*model, *source, nullptr, options, *collective).run();
    return model;
}

}  // namespace thresher
