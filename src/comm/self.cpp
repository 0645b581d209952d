// The group of one.
#include <algorithm>
#include <cstring>

#include "comm/checks.hpp"
#include "klmesh/communicator.hpp"

namespace klmesh {
namespace {

class SelfCommunicator final : public Communicator {
 public:
  int rank() const noexcept override { return 0; }
  int size() const noexcept override { return 1; }

  void all_gather(std::span<const std::byte> send, std::span<std::byte> receive) override {
    comm::require_gather_sizes(send.size(), receive.size(), 1);
    if (!send.empty()) std::memmove(receive.data(), send.data(), send.size());
  }

  void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive) override {
    comm::require_exchange_sizes(send.size(), receive.size(), 1);
    std::ranges::copy(send, receive.begin());
  }

  void all_reduce(std::span<std::int64_t>, std::span<std::uint64_t>) override {}

  void broadcast(std::span<std::byte>, int root) override { comm::require_root(root, 1); }

  void barrier() override {}
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() { return std::make_unique<SelfCommunicator>(); }

}  // namespace klmesh
