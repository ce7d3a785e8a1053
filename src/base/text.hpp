#pragma once

// Text that all ranks share, such as the configuration that rank 0 read.

#include <string>

#include "src/base/collective.hpp"

namespace thresher {

/// The root's `text` on every rank; what the other ranks pass is ignored. Collective.
std::string broadcast_text(Collective& collective, std::string text, int root = 0);

}  // namespace thresher
