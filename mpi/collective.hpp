#pragma once

// The MPI body of Collective.

#include <cstddef>
#include <memory>

#include "mpi/communicator.hpp"
#include "src/base/collective.hpp"

namespace thresher::mpi {

/// MPI counts with int, so longer messages travel in slices of at most this many bytes.
inline constexpr std::size_t kLargestMessageBytes = std::size_t{1} << 30;

/// Takes the communicator over. `slice_bytes` (8 to 2^31 - 8) is smaller than the default only in
/// tests. Results arrive in rank order; integers are exact. Spans must be in host memory.
/// Collective.
std::unique_ptr<Collective> make_mpi_collective(Communicator communicator,
                                                std::size_t slice_bytes = kLargestMessageBytes);

}  // namespace thresher::mpi
