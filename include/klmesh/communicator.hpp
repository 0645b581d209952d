// What the engine needs of a group of ranks. Implementations: one process (self), MPI; NCCL where CUDA is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace klmesh {

/// A group of ranks that exchange host data. All members must call the same operations in the same order.
///
/// Every call blocks until its result is there or the group's deadline has passed. Reductions are over
/// integers alone, so no result depends on the order of arrival.
/// @throws CommunicationError if a peer is lost; DeadlineExceeded if the deadline passes. The group is then
/// unusable:
///         every further call throws CommunicationError at once. Nothing is written to the caller's spans any
///         more.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const noexcept = 0;
  virtual int size() const noexcept = 0;

  /// Concatenates what the ranks send, in rank order: receive.size() == size() * send.size(), equal on all
  /// ranks.
  /// @throws InvalidArgument on this rank, before it communicates, if the sizes do not fit
  virtual void all_gather(std::span<const std::byte> send, std::span<std::byte> receive) = 0;

  /// Sends block r of `send` to rank r and receives block r from rank r: both spans are size() equal blocks.
  /// Sizes must be equal on all ranks; the blocks may be empty. The spans may not overlap.
  /// @throws InvalidArgument on this rank, before it communicates, if the sizes differ or are no multiple of
  /// size()
  virtual void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive) = 0;

  /// One grouped exchange: element-wise integer sums and element-wise maxima over the ranks, in place.
  /// Either span may be empty; sizes must be equal on all ranks. Sums wrap modulo 2^64.
  virtual void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) = 0;

  /// Copies `data` of rank `root` to every rank. Sizes must be equal on all ranks. The root may return before
  /// the others have the data.
  /// @throws InvalidArgument on this rank, before it communicates, unless 0 <= root < size()
  virtual void broadcast(std::span<std::byte> data, int root) = 0;

  /// Returns once every rank has called it.
  virtual void barrier() = 0;
};

/// The group of one: every operation is a copy.
std::unique_ptr<Communicator> make_self_communicator();

}  // namespace klmesh
