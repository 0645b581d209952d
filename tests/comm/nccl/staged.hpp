// A device communicator behind the host's interface, so that one suite asks both kinds: what is sent is copied to the device,
// exchanged on a stream, waited for and copied back.
#pragma once

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "comm/nccl/device_buffer.hpp"
#include "klmesh/communicator.hpp"
#include "klmesh/device_communicator.hpp"
#include "klmesh/error.hpp"

namespace klmesh::testing_support {

class StagedCommunicator final : public Communicator {
 public:
  explicit StagedCommunicator(std::unique_ptr<DeviceCommunicator> device) : device_(std::move(device)) {}

  int rank() const noexcept override { return device_->rank(); }
  int size() const noexcept override { return device_->size(); }

  void all_gather(std::span<const std::byte> send, std::span<std::byte> receive) override {
    DeviceBuffer<std::byte> from(send), to(receive.size());
    device_->all_gather(from.span(), to.span(), stream_.ref());
    device_->wait(stream_.ref());
    to.copy_to(receive);
  }

  void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive) override {
    DeviceBuffer<std::byte> from(send), to(receive.size());
    device_->all_to_all(from.span(), to.span(), stream_.ref());
    device_->wait(stream_.ref());
    to.copy_to(receive);
  }

  void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) override {
    DeviceBuffer<std::int64_t> device_sums{std::span<const std::int64_t>(sums)};
    DeviceBuffer<std::uint64_t> device_maxima{std::span<const std::uint64_t>(maxima)};
    device_->all_reduce(device_sums.span(), device_maxima.span(), stream_.ref());
    device_->wait(stream_.ref());
    device_sums.copy_to(sums);
    device_maxima.copy_to(maxima);
  }

  // A device communicator has neither of these two; the suite's sizes are small.
  void broadcast(std::span<std::byte> data, int root) override {
    if (root < 0 || root >= size()) throw InvalidArgument("broadcast: no such root");
    std::vector<std::byte> all(data.size() * static_cast<std::size_t>(size()));
    all_gather(data, all);
    if (!data.empty()) std::memcpy(data.data(), all.data() + static_cast<std::size_t>(root) * data.size(), data.size());
  }
  void barrier() override {
    std::vector<std::int64_t> one = {1};
    all_reduce(one, {});
  }

 private:
  std::unique_ptr<DeviceCommunicator> device_;
  TestStream stream_;
};

}  // namespace klmesh::testing_support
