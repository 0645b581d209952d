// What the engine needs of a group of ranks with a GPU each: the exchanges of communicator.hpp, enqueued on a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "klmesh/stream.hpp"

namespace klmesh {

/// A group of ranks that exchange device data. All members must enqueue the same operations in the same order.
///
/// Spans are memory of this rank's device. Operations are enqueued and return; they run in the order of the stream, and
/// their results count only after a wait() that returned. Reductions are over integers alone, so no result depends on
/// the order in which ranks are summed. Not safe for concurrent calls.
/// @throws InvalidArgument for host_stream, or sizes that do not fit; on this rank, before anything is enqueued
/// @throws CommunicationError if the group has failed. It is then aborted and unusable: every further call throws at
///         once, and what is on the stream behind it works on undefined data.
class DeviceCommunicator {
 public:
  virtual ~DeviceCommunicator() = default;

  virtual int rank() const noexcept = 0;
  virtual int size() const noexcept = 0;
  /// The GPU of this rank.
  virtual int device() const noexcept = 0;

  /// Concatenates what the ranks send, in rank order: receive.size() == size() * send.size(), equal on all ranks.
  /// `send` may be this rank's block of `receive`.
  virtual void all_gather(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) = 0;

  /// Sends block r of `send` to rank r and receives block r from rank r: both are size() equal blocks, equal on all
  /// ranks, and do not overlap.
  virtual void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) = 0;

  /// One grouped exchange: element-wise integer sums and element-wise maxima over the ranks, in place. Either span may
  /// be empty; sizes must be equal on all ranks. Sums wrap modulo 2^64.
  virtual void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima, StreamRef stream) = 0;

  /// Blocks until all that is on `stream` is done and the group never failed.
  /// @throws DeadlineExceeded naming rank, operation, sequence number and seconds, if the deadline passes;
  ///         CommunicationError likewise if a peer is lost; CudaError if the device failed
  virtual void wait(StreamRef stream) = 0;

  /// Throws if the group has failed, as far as is known now. Does not block.
  virtual void poll() = 0;

  /// Ends what has not ended; the group is then unusable, here and, as soon as they notice, on the other ranks.
  virtual void abort() noexcept = 0;

  /// Told when all that was on `stream` is known to be done.
  virtual void note_done(StreamRef stream) noexcept = 0;

  /// An operation, as an operation log has it.
  struct Operation {
    const char* name = "";     ///< of static storage
    std::uint64_t number = 0;  ///< counted from 1; 0: none
  };
  /// The oldest operation that is not known to be done; number 0 if there is none.
  virtual Operation unfinished() const = 0;

  /// The same in words, "rank 1 of 2 ...: all_gather number 3"; empty if there is none.
  virtual std::string outstanding() const = 0;
};

}  // namespace klmesh
