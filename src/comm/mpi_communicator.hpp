// A communicator over MPI that never waits longer than its deadline.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "klmesh/communicator.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh::comm {

/// Owns an MPI communicator of its own. Not safe for concurrent calls.
///
/// Every operation is a nonblocking collective, polled until the deadline, on memory of this object: a
/// collective that a peer never joined cannot be cancelled, so MPI may write long after the caller's spans
/// are gone. Messages go through that memory piece by piece, which also keeps every count far below the
/// INT_MAX of MPI 3.
class MpiCommunicator final : public Communicator {
 public:
  /// Duplicates `comm`. Collective over it; waits no longer than the deadline.
  /// @throws InvalidArgument if `comm` is null or an intercommunicator, or if MPI is not running
  static std::unique_ptr<MpiCommunicator> duplicate(MPI_Comm comm, const CommunicatorOptions& options);

  /// Takes ownership of `comm`, which must return errors (MPI_ERRORS_RETURN).
  MpiCommunicator(MPI_Comm comm, const CommunicatorOptions& options);

  /// Frees the communicator, unless MPI is finalised or an operation failed: then there may be requests on it
  /// that never end, and it is left to MPI with the memory that they use.
  ~MpiCommunicator() override;

  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  /// The groups of equal `color`, ordered by `key`. Collective.
  std::unique_ptr<MpiCommunicator> split(int color, int key);

  MPI_Comm handle() const noexcept { return comm_; }
  const CommunicatorOptions& options() const noexcept { return options_; }

  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return size_; }

  void all_gather(std::span<const std::byte> send, std::span<std::byte> receive) override;
  void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive) override;
  void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) override;
  void broadcast(std::span<std::byte> data, int root) override;
  void barrier() override;

 private:
  class Operation;

  void wait(std::span<MPI_Request> requests);
  std::byte* stage(std::size_t bytes);

  MPI_Comm comm_;
  CommunicatorOptions options_;
  int rank_ = 0;
  int size_ = 1;
  const char* operation_ = "";
  std::uint64_t sequence_ = 0;  // operations begun; the same on all ranks that agree about what they do
  bool usable_ = true;          // false during an operation, and for ever after one that failed
  std::vector<std::byte> stage_;
};

}  // namespace klmesh::comm
