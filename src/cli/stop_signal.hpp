// SIGTERM and SIGUSR1 ask a run to stop after the step at hand.
#pragma once

namespace klmesh::cli {

/// From now on these signals only set a flag. Process-wide; call it once, after MPI_Init.
/// @throws Error if the system refuses
void catch_stop_signals();

/// Whether one has arrived.
bool stop_signal_arrived() noexcept;

}  // namespace klmesh::cli
