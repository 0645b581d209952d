// A device communicator that misbehaves at its n-th operation, as lost, stopped and mistaken ranks do.
#pragma once

#include <csignal>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "klmesh/device_communicator.hpp"

namespace klmesh::testing_support {

enum class Fault {
  none,
  die,    ///< the process is killed
  stall,  ///< does not come back for a minute
  fewer,  ///< takes part with one element or byte in place of all
};

class FaultyCommunicator final : public DeviceCommunicator {
 public:
  /// @param at which operation, counted from 1 over all kinds
  FaultyCommunicator(std::unique_ptr<DeviceCommunicator> inner, Fault fault, int at)
      : inner_(std::move(inner)), fault_(fault), at_(at) {}

  int rank() const noexcept override { return inner_->rank(); }
  int size() const noexcept override { return inner_->size(); }
  int device() const noexcept override { return inner_->device(); }

  void all_gather(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) override {
    if (strikes()) {
      send = send.first(std::min<std::size_t>(1, send.size()));
      receive = receive.first(send.size() * static_cast<std::size_t>(size()));
    }
    inner_->all_gather(send, receive, stream);
  }
  void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) override {
    if (strikes()) {
      const std::size_t bytes = std::min(static_cast<std::size_t>(size()), send.size());
      send = send.first(bytes);
      receive = receive.first(bytes);
    }
    inner_->all_to_all(send, receive, stream);
  }
  void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima, StreamRef stream) override {
    if (strikes()) {
      sums = sums.first(std::min<std::size_t>(1, sums.size()));
      maxima = maxima.first(std::min<std::size_t>(1, maxima.size()));
    }
    inner_->all_reduce(sums, maxima, stream);
  }
  void wait(StreamRef stream) override { inner_->wait(stream); }
  void poll() override { inner_->poll(); }
  void abort() noexcept override { inner_->abort(); }
  void note_done(StreamRef stream) noexcept override { inner_->note_done(stream); }
  Operation unfinished() const override { return inner_->unfinished(); }
  std::string outstanding() const override { return inner_->outstanding(); }

 private:
  /// Dies or stalls here; true if this operation is to be cut short.
  bool strikes() {
    if (++operations_ != at_) return false;
    if (fault_ == Fault::die) std::raise(SIGKILL);
    if (fault_ == Fault::stall) std::this_thread::sleep_for(std::chrono::minutes(1));
    return fault_ == Fault::fewer;
  }

  std::unique_ptr<DeviceCommunicator> inner_;
  Fault fault_;
  int at_;
  int operations_ = 0;
};

}  // namespace klmesh::testing_support
