#pragma once

// The one stop flag of the process. SIGTERM, SIGUSR1 and SIGUSR2 raise it (Slurm and other
// schedulers send one of them before they end a job); long loops look at it between steps, write a
// checkpoint and throw Requeue. A second SIGTERM ends the process at once.

namespace thresher {

/// Installs the handlers. Local.
void install_stop_signals();

/// True once a stop signal has arrived. Local.
bool stop_requested();

/// As if one had come. Local.
void request_stop();

/// As if none had come. Local.
void clear_stop_request();

}  // namespace thresher
