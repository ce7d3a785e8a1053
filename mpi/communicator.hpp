#pragma once

// A group of ranks that talk to each other, owned: freed when it goes, moved but never copied.

#include <mpi.h>

namespace thresher::mpi {

class Communicator {
  public:
    /// A duplicate of MPI_COMM_WORLD. Collective over all ranks of the job.
    static Communicator world();

    Communicator(Communicator&& other) noexcept;
    Communicator& operator=(Communicator&& other) noexcept;
    ~Communicator();

    int rank() const { return rank_; }
    int size() const { return size_; }

    /// The handle itself, for MPI-IO. Still owned by this object.
    MPI_Comm raw() const { return handle_; }

    /// The same ranks with traffic of their own. Collective.
    Communicator duplicate() const;

    /// The ranks that pass the same `color` (>= 0), in the order of `key`, then of rank.
    /// Collective.
    Communicator split(int color, int key) const;

    /// The ranks on this rank's node (those that can share memory), in rank order. Collective.
    Communicator split_node_local() const;

  private:
    explicit Communicator(MPI_Comm handle);

    MPI_Comm handle_ = MPI_COMM_NULL;
    int rank_ = 0, size_ = 1;
};

}  // namespace thresher::mpi
