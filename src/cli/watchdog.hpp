// Looks after what cannot look after itself: a rank that is blocked inside a call of MPI polls no deadline.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "klmesh/operation_log.hpp"

namespace klmesh::cli {

/// An operation that is still in progress although its time is over.
struct Overdue {
  OperationLog::Operation operation;
  std::chrono::duration<double> elapsed;
};

/// "MPI_Comm_split number 7 did not return within 4.0 s".
std::string describe(const Overdue& overdue);

/// A thread that looks at a log some twenty times a second.
class Watchdog {
 public:
  /// @param log     must outlive this
  /// @param limit   seconds an operation may take; time in which the process was stopped does not count
  /// @param overdue called on the watchdog's thread, once; ends the process, as a rule
  Watchdog(const OperationLog& log, std::chrono::duration<double> limit, std::function<void(const Overdue&)> overdue);

 private:
  std::jthread thread_;  // stops and joins when it is destroyed
};

}  // namespace klmesh::cli
