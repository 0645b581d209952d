// Which of the operations that were put on streams are done: what an error has to name.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "klmesh/stream.hpp"

namespace klmesh::comm {

/// Remembers the last operations, each with an event behind it. Allocates nothing after construction.
class OperationTrail {
 public:
  struct Operation {
    const char* name = "";       ///< of static storage
    std::uint64_t sequence = 0;  ///< counted from 1; the same on all ranks that agree about what they do
  };

  /// Makes the events on the current device.
  OperationTrail();
  ~OperationTrail();
  OperationTrail(const OperationTrail&) = delete;
  OperationTrail& operator=(const OperationTrail&) = delete;

  /// Counts an operation that is about to be enqueued.
  void begin(const char* name);
  /// Puts a mark behind the operation that was begun last. Nothing while a graph is captured: there the work only runs
  /// when the graph does.
  void end(StreamRef stream);

  /// Forgets what was enqueued on `stream`: it is done.
  void note_done(StreamRef stream) noexcept;

  /// Whether a graph has, or had, one of the operations.
  bool captured() const noexcept { return captured_; }
  /// The operation that was begun last.
  const Operation& last() const noexcept { return last_; }
  /// The oldest operation that is not known to be done, of the last kMarks; sequence 0 if there is none.
  Operation first_unfinished() const noexcept;

 private:
  static constexpr std::size_t kMarks = 8;
  struct Mark {
    Operation operation;
    cudaEvent_t event = nullptr;
    const void* stream = nullptr;
  };

  Operation last_;
  bool open_ = false;             // begun, not ended
  bool captured_ = false;
  std::array<Mark, kMarks> marks_;  // operation n at n % kMarks
};

}  // namespace klmesh::comm
