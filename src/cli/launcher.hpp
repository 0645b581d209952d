// The process that started this rank: what it said, and whether it still lives.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <thread>

namespace klmesh::cli {

/// This process's rank as the launcher (Open MPI, PMIx, Slurm) tells it before MPI runs; nothing without a launcher.
std::optional<int> rank_of_launcher() noexcept;

/// The same; 0 without a launcher.
int launched_rank() noexcept;

/// Makes sure that mpirun ends after this process: without an answer from a host that is cut off it would wait for many
/// minutes. A child process looks after `patience` whether the launcher is still there, and kills it then. Does nothing
/// if mpirun (by any of its names) is no ancestor of this process.
void end_launcher_after(std::chrono::milliseconds patience) noexcept;

/// Calls back when the launcher dies: its ranks would otherwise go on, or wait for each other, unattended.
///
/// Watched is the nearest ancestor of a launcher's name (mpirun, orted, ...), else the parent; nothing without a
/// launcher, or where the system cannot wait for a process that is not a child.
class LauncherWatch {
 public:
  /// @param gone called on the watch's thread, once; ends the process, as a rule
  explicit LauncherWatch(std::function<void()> gone);

 private:
  std::jthread thread_;
};

}  // namespace klmesh::cli
