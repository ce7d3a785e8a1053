#pragma once

// Threads inside a rank for the loops that are not LibTorch's. A loop is cut into fixed pieces, so
// its result never depends on the number of threads.

#include <cstdint>
#include <functional>

namespace thresher {

/// Threads that parallel_for uses in this process, the caller included; at least 1. Local.
void use_threads(int threads);
int threads_in_use();

/// Calls body(begin, end) for the pieces [0, n) is cut into, `grain` items each (the last may be
/// shorter), on all threads, and waits. The first exception is rethrown. Not reentrant: an inner
/// call runs in the calling thread. Local.
void parallel_for(std::int64_t n, std::int64_t grain,
                  const std::function<void(std::int64_t begin, std::int64_t end)>& body);

}  // namespace thresher
