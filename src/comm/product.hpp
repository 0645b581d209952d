// The group that two groups span: every pair of a batch part and a vocabulary part.
#pragma once

#include "klmesh/communicator.hpp"

namespace klmesh::comm {

/// A world made of a vocabulary group and a batch group, for hosts that have no communicator of both.
///
/// Rank = batch rank * V + vocab rank. Every operation is one in the vocab group and one in the batch group;
/// it shares their order of operations and their deadlines. Both groups must outlive it and form a grid.
class ProductCommunicator final : public Communicator {
 public:
  ProductCommunicator(Communicator& vocab, Communicator& batch) noexcept : vocab_(vocab), batch_(batch) {}

  int rank() const noexcept override { return batch_.rank() * vocab_.size() + vocab_.rank(); }
  int size() const noexcept override { return batch_.size() * vocab_.size(); }

  void all_gather(std::span<const std::byte> send, std::span<std::byte> receive) override;
  void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive) override;
  void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) override;
  void broadcast(std::span<std::byte> data, int root) override;
  void barrier() override;

 private:
  Communicator& vocab_;
  Communicator& batch_;
};

}  // namespace klmesh::comm
