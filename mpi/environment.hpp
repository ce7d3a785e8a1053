#pragma once

// The life of MPI in a process: initialised once, finalised only where all ranks get there
// together. A rank that fails alone must not finalise (the others would wait for it forever): it
// aborts the job.

#include <functional>
#include <string>

#include "mpi/communicator.hpp"
#include "src/base/check.hpp"

namespace thresher::mpi {

/// True where the process was started by mpirun, srun or another launcher that MPI understands, so
/// that there may be other ranks. May be called before an Environment exists. Local.
bool started_by_launcher();

/// True on rank 0, and where no launcher started the process. May be called before an Environment
/// exists. Local.
bool is_first_by_launcher();

/// Ends all ranks of the job at once, without finalising. Local.
[[noreturn]] void abort(ExitCode exit_code);

/// Initialises MPI when made, finalises it when destroyed; aborts the job instead if it is
/// destroyed by an exception that leaves main's scope, and in debug builds where communicators or
/// requests are left open. One per process. Collective.
class Environment {
  public:
    /// Throws Error if MPI gives less than MPI_THREAD_FUNNELED.
    Environment(int& argc, char**& argv);
    ~Environment();
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

  private:
    int exceptions_before_;
};

/// Runs `body`, which returns an exit code, and brings the ranks to the exit together. Returns the
/// exit code of the lowest rank that failed, the same on every rank; 0 if none did.
///
/// Where ranks failed, rank 0 prints each different message once through `report`. Where this rank
/// failed and the others do not arrive within `grace_s` seconds, it failed alone and they wait for
/// it: it prints its own message and aborts the job. Collective.
int run_to_the_end_together(const Communicator& world, const std::function<int()>& body,
                            const std::function<void(const std::string& message)>& report,
                            double grace_s = 5.0);

}  // namespace thresher::mpi
