#pragma once

#include <cstddef>

namespace thresher {

/// Asks the system for huge pages (2 MiB) in the part of [begin, begin + size_bytes) that has room
/// for them, before it is first touched: fresh memory costs a page fault for every page. A hint
/// alone; where there are none, nothing changes. Local.
void advise_huge_pages(void* begin, std::size_t size_bytes);

}  // namespace thresher
