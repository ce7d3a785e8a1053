#pragma once

// Ids are permanent names of examples; two rows of one pool may not share one.

#include <cstdint>
#include <span>
#include <string>

#include "src/base/collective.hpp"

namespace thresher {

/// Throws the same Error on every rank, naming `source` where it is given, if an id is negative or
/// occurs twice among all ranks' `ids`. Cheap where the ids ascend over the ranks; otherwise each
/// id is sent to the rank that its hash names. Collective.
void check_unique_ids(Collective& collective, std::span<const std::int64_t> ids,
                      const std::string& source = {});

}  // namespace thresher
