// A communicator over NCCL that never waits longer than its deadline.
#pragma once

#include <nccl.h>

#include <string>
#include <string_view>

#include "comm/nccl/operation_trail.hpp"
#include "klmesh/device_communicator.hpp"
#include "klmesh/nccl.hpp"

namespace klmesh::comm {

/// Whether the handle is ended here.
enum class Ownership { borrowed, owned };

/// A communicator of NCCL that is initialised. Its deadline covers what the host waits for: connections, which NCCL makes
/// at the first operation of a kind, and wait().
class NcclCommunicator final : public DeviceCommunicator {
 public:
  /// Takes a communicator on the current device; nothing is communicated.
  NcclCommunicator(ncclComm_t comm, Ownership ownership, const NcclOptions& options);
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return size_; }
  int device() const noexcept override { return device_; }

  void all_gather(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) override;
  void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) override;
  void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima, StreamRef stream) override;
  void wait(StreamRef stream) override;
  void poll() override;
  void abort() noexcept override;
  void note_done(StreamRef stream) noexcept override { trail_.note_done(stream); }
  Operation unfinished() const override;
  std::string outstanding() const override;

 private:
  template <typename Enqueue>
  void run(const char* operation, StreamRef stream, Enqueue&& enqueue);
  void settle();
  std::string described(const OperationTrail::Operation& operation) const;
  std::string failure(std::string_view what) const;

  ncclComm_t comm_;
  Ownership ownership_;
  NcclOptions options_;
  int rank_ = 0;
  int size_ = 1;
  int device_ = 0;
  OperationTrail trail_;
  bool usable_ = true;  // false for ever after a failure
};

/// Polls until the communicator is no longer busy with what it was told last.
/// @returns its state; ncclInProgress if the deadline passed
ncclResult_t settled_state(ncclComm_t comm, std::chrono::duration<double> deadline);

}  // namespace klmesh::comm
