#include "mpi/communicator.hpp"

#include <utility>

#include "mpi/checked.hpp"
#include "src/base/check.hpp"

namespace thresher::mpi {

Communicator::Communicator(MPI_Comm handle) : handle_(handle) {
    THRESHER_MPI(MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN));
    THRESHER_MPI(MPI_Comm_rank(handle_, &rank_));
    THRESHER_MPI(MPI_Comm_size(handle_, &size_));
}

Communicator::Communicator(Communicator&& other) noexcept
    : handle_(std::exchange(other.handle_, MPI_COMM_NULL)),
      rank_(other.rank_),
      size_(other.size_) {}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(rank_, other.rank_);
    std::swap(size_, other.size_);
    return *this;
}

Communicator::~Communicator() {
    if (handle_ == MPI_COMM_NULL) return;
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0) MPI_Comm_free(&handle_);
}

Communicator Communicator::world() {
    MPI_Comm handle = MPI_COMM_NULL;
    THRESHER_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &handle));
    return Communicator(handle);
}

Communicator Communicator::duplicate() const {
    MPI_Comm handle = MPI_COMM_NULL;
    THRESHER_MPI(MPI_Comm_dup(handle_, &handle));
    return Communicator(handle);
}

Communicator Communicator::split(int color, int key) const {
    THRESHER_CHECK(color >= 0,
                   "a communicator cannot be split by the color {}; allowed: 0 and more", color);
    MPI_Comm handle = MPI_COMM_NULL;
    THRESHER_MPI(MPI_Comm_split(handle_, color, key, &handle));
    return Communicator(handle);
}

Communicator Communicator::split_node_local() const {
    MPI_Comm handle = MPI_COMM_NULL;
    THRESHER_MPI(MPI_Comm_split_type(handle_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &handle));
    return Communicator(handle);
}

}  // namespace thresher::mpi
