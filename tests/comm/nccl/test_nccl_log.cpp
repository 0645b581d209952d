// What a watchdog sees of work on a device: the operation that the host is blocked in, or waits for.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/nccl/device_buffer.hpp"
#include "comm/nccl/gpu_world.hpp"
#include "klmesh/operation_log.hpp"

namespace klmesh {
namespace {

using testing_support::DeviceBuffer;
using testing_support::make_nccl_world;
using testing_support::own_device;
using testing_support::TestStream;

/// Looks at the log whenever it is polled, as a watchdog might at that moment.
class WatchedCommunicator final : public DeviceCommunicator {
 public:
  WatchedCommunicator(std::unique_ptr<DeviceCommunicator> inner, const OperationLog& log) : inner_(std::move(inner)), log_(&log) {}

  std::optional<OperationLog::Operation> seen;  // at the last poll

  int rank() const noexcept override { return inner_->rank(); }
  int size() const noexcept override { return inner_->size(); }
  int device() const noexcept override { return inner_->device(); }
  void all_gather(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) override {
    inner_->all_gather(send, receive, stream);
  }
  void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) override {
    inner_->all_to_all(send, receive, stream);
  }
  void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima, StreamRef stream) override {
    inner_->all_reduce(sums, maxima, stream);
  }
  void wait(StreamRef stream) override { inner_->wait(stream); }
  void poll() override {
    seen = log_->current();
    inner_->poll();
  }
  void abort() noexcept override { inner_->abort(); }
  void note_done(StreamRef stream) noexcept override { inner_->note_done(stream); }
  Operation unfinished() const override { return {"all_gather", 7}; }  // as if it were
  std::string outstanding() const override { return inner_->outstanding(); }

 private:
  std::unique_ptr<DeviceCommunicator> inner_;
  const OperationLog* log_;
};

/// Operations that were begun so far.
std::uint64_t entries(OperationLog& log) {
  log.begin("a look");
  const std::uint64_t entry = log.current()->entry;
  log.end();
  return entry;
}

TEST(NcclLog, HasTheOperationThatIsWaitedFor) {
  OperationLog log;
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, testing_support::world_size()});
  const auto world = borrow_communicator(MPI_COMM_WORLD);
  const auto self = make_self_communicator();
  auto watched = std::make_unique<WatchedCommunicator>(make_nccl_world(), log);
  const WatchedCommunicator& vocab = *watched;
  DeviceMesh devices(mesh, make_nccl_world(), std::move(watched), make_nccl_communicator(*self, own_device()),
                     std::chrono::seconds(60), &log);
  const TestStream stream;
  devices.wait(stream.ref());
  ASSERT_TRUE(vocab.seen.has_value());
  EXPECT_STREQ(vocab.seen->name, "all_gather");
  EXPECT_EQ(vocab.seen->number, 7u);
  EXPECT_FALSE(log.current().has_value());
}

TEST(NcclLog, HasEveryOperationAndEveryWait) {
  OperationLog log;
  const auto group = make_nccl_world({std::chrono::seconds(60), "the world", &log});
  const std::uint64_t before = entries(log);
  const TestStream stream;
  DeviceBuffer<std::byte> all(64 * static_cast<std::size_t>(group->size()));
  group->all_gather(all.span().first(64), all.span(), stream.ref());
  group->wait(stream.ref());
  EXPECT_EQ(entries(log), before + 3);  // the gather, the wait, the look
  EXPECT_FALSE(log.current().has_value());
}

}  // namespace
}  // namespace klmesh
