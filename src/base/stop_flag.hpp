#pragma once

// The one stop flag of the process. SIGTERM, SIGUSR1 and SIGUSR2 raise it (Slurm and other
// schedulers send one of them before they end a job); long loops look at it between steps, write a
// checkpoint and throw Requeue. A second SIGTERM ends the process at once.

#include "src/base/collective.hpp"

namespace thresher {

/// Installs the handlers. Local; call once, before threads start.
void install_stop_signals();

/// True once a stop signal has arrived, or request_stop() was called. Local.
bool stop_requested();

/// True on all ranks if any rank was asked to stop. Collective.
bool stop_requested(Collective& collective);

/// As if a signal had come; for tests and for --max-walltime. Local.
void request_stop();
void clear_stop_request();

}  // namespace thresher
