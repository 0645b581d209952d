// A communicator that keeps time: what the engine spends on communication, seen from outside.
#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "klmesh/communicator.hpp"

namespace klmesh::bench {

struct CommunicationTimes {
  double seconds = 0;
  std::int64_t calls = 0;
  std::int64_t received_bytes = 0;  ///< from other ranks; reductions count their operands once
};

/// Forwards to the communicator that it owns, and adds to `times`, which must outlive it.
class TimedCommunicator final : public Communicator {
 public:
  TimedCommunicator(std::unique_ptr<Communicator> inner, CommunicationTimes& times)
      : inner_(std::move(inner)), times_(&times) {}

  int rank() const noexcept override { return inner_->rank(); }
  int size() const noexcept override { return inner_->size(); }

  void all_gather(std::span<const std::byte> send, std::span<std::byte> receive) override {
    timed(receive.size() - send.size(), [&] { inner_->all_gather(send, receive); });
  }
  void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive) override {
    const auto ranks = static_cast<std::size_t>(size());
    timed(receive.size() / ranks * (ranks - 1), [&] { inner_->all_to_all(send, receive); });
  }
  void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) override {
    timed(sums.size_bytes() + maxima.size_bytes(), [&] { inner_->all_reduce(sums, maxima); });
  }
  void broadcast(std::span<std::byte> data, int root) override {
    timed(rank() == root ? 0 : data.size(), [&] { inner_->broadcast(data, root); });
  }
  void barrier() override {
    timed(0, [&] { inner_->barrier(); });
  }

 private:
  template <typename Operation>
  void timed(std::size_t received, Operation&& operation) {
    const auto begin = std::chrono::steady_clock::now();
    operation();
    times_->seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    times_->received_bytes += static_cast<std::int64_t>(received);
    ++times_->calls;
  }

  std::unique_ptr<Communicator> inner_;
  CommunicationTimes* times_;
};

}  // namespace klmesh::bench
