#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "src/pool/boxes.hpp"

namespace thresher {

/// `count` of the rows in `order`: first those that have a box of a class which none before them
/// has, then the others, all in their order. So a small set knows every class, where a row does.
/// `boxes` are those of all rows of the pool. Local.
std::vector<std::int64_t> covering_rows(std::span<const std::int64_t> order, const Boxes& boxes,
                                        std::int64_t count);

}  // namespace thresher
