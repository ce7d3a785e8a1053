#pragma once

// Batches in which every class has its share.

#include <cstdint>
#include <span>

#include "src/base/collective.hpp"
#include "src/selection/select.hpp"

namespace thresher {

/// How k picks are shared out among classes of which `available` rows can be picked: as evenly as
/// possible, a class with fewer rows than its share giving all it has; what cannot be divided goes
/// to the lower classes. Throws Error where there are fewer than k rows in all. Local.
std::vector<std::int64_t> class_quotas(std::span<const std::int64_t> available, std::int64_t k);

/// Chooses k rows, from each class its quota by the selector, as select_rows would from the rows of
/// that class alone. `classes_of_rows` [n] holds each row's class in [0, classes); rows of class -1
/// are not picked. The batch takes one row of each class in turn, so that every beginning of it is
/// balanced as well. Throws as select_rows. Memory: 12 bytes a row. Collective.
Selection select_balanced(Collective& collective, const ScoredRows& rows,
                          std::span<const std::int32_t> classes_of_rows, std::int64_t classes,
                          std::int64_t k, const Selector& selector);

}  // namespace thresher
