// Runs a program, hears what it says, and does not wait for ever.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace klmesh::io {

/// How a child process ended.
struct ChildResult {
  enum class End { exited, signalled, timed_out };
  End end = End::exited;
  int code = 0;        ///< exit code, or number of the signal
  std::string output;  ///< the beginning of what it wrote on its stdout
};

/// Runs `command` (program, arguments) to its end, without stdin and stderr, and with signals as after a
/// login. A program without "/" is searched for in PATH. Kills it when `timeout` has passed. Does not fork:
/// safe in a program with threads.
/// @throws IoError if it cannot be started or watched
ChildResult run_child(const std::vector<std::string>& command, std::chrono::milliseconds timeout);

}  // namespace klmesh::io
