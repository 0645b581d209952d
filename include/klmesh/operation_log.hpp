// What a rank is waiting for, readable from another thread: a call that blocks inside MPI cannot watch itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

namespace klmesh {

/// The operation in progress, as the communicators that share the log report it. For a watchdog of the host's own:
/// the library only writes. One log serves the communicators of one thread; reading is safe from any thread.
/// Cost: about 50 ns an operation.
class OperationLog {
 public:
  struct Operation {
    const char* name = "";      ///< "all_reduce", "MPI_Comm_split"
    std::uint64_t number = 0;   ///< of this kind of sequence on all ranks: of the communicator's operations
    std::uint64_t entry = 0;    ///< of the log itself: tells two operations apart
    std::chrono::steady_clock::time_point since;
  };

  /// @param name a text that outlives the log
  void begin(const char* name, std::uint64_t number = 0) noexcept {
    const std::lock_guard lock(mutex_);
    current_ = Operation{name, number, ++entries_, std::chrono::steady_clock::now()};
  }
  void end() noexcept {
    const std::lock_guard lock(mutex_);
    current_.reset();
  }

  /// Nothing between operations.
  std::optional<Operation> current() const noexcept {
    const std::lock_guard lock(mutex_);
    return current_;
  }

  /// From its construction to its destruction, an operation is in progress. The log may be null.
  class Scope {
   public:
    Scope(OperationLog* log, const char* name, std::uint64_t number = 0) noexcept : log_(log) {
      if (log_ != nullptr) log_->begin(name, number);
    }
    ~Scope() {
      if (log_ != nullptr) log_->end();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    OperationLog* log_;
  };

 private:
  mutable std::mutex mutex_;
  std::optional<Operation> current_;
  std::uint64_t entries_ = 0;
};

}  // namespace klmesh
