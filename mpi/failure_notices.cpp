#include "mpi/failure_notices.hpp"

#include "mpi/checked.hpp"

namespace thresher::mpi {

namespace {

constexpr int kTag = 2;  // collectives send their slices under 1

}  // namespace

void FailureNotices::announce(const Communicator& communicator) {
    for (int other = 0; other < communicator.size(); ++other) {
        if (other == communicator.rank()) continue;
        THRESHER_MPI(MPI_Isend(nullptr, 0, MPI_BYTE, other, kTag, communicator.raw(),
                               &sent_.emplace_back(MPI_REQUEST_NULL)));
    }
}

bool FailureNotices::announced(const Communicator& communicator) const {
    int found = 0;
    THRESHER_MPI(MPI_Iprobe(MPI_ANY_SOURCE, kTag, communicator.raw(), &found, MPI_STATUS_IGNORE));
    return found != 0;
}

void FailureNotices::settle(const Communicator& communicator, std::span<const int> failed) {
    for (const int other : failed) {
        if (other == communicator.rank()) continue;
        THRESHER_MPI(
            MPI_Recv(nullptr, 0, MPI_BYTE, other, kTag, communicator.raw(), MPI_STATUS_IGNORE));
    }
    THRESHER_MPI(MPI_Waitall(static_cast<int>(sent_.size()), sent_.data(), MPI_STATUSES_IGNORE));
    sent_.clear();
}

}  // namespace thresher::mpi
