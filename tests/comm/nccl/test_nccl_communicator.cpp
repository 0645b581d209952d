// What NCCL's communicators promise beyond the contract: streams, borrowing, refusals, order of what is enqueued.
#include <gmock/gmock.h>
#include <nccl.h>

#include <array>
#include <cmath>
#include <utility>

#include "comm/nccl/device_buffer.hpp"
#include "comm/nccl/gpu_world.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing_support::DeviceBuffer;
using testing_support::make_nccl_world;
using testing_support::own_device;
using testing_support::TestStream;
using testing_support::world_rank;
using testing_support::world_size;

/// A communicator as a trainer has it.
class HostNccl {
 public:
  HostNccl() {
    ncclUniqueId id{};
    if (world_rank() == 0) {
      EXPECT_EQ(ncclGetUniqueId(&id), ncclSuccess);
    }
    EXPECT_EQ(MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, MPI_COMM_WORLD), MPI_SUCCESS);
    testing_support::expect_cuda(cudaSetDevice(own_device()));
    EXPECT_EQ(ncclCommInitRank(&comm_, world_size(), id, world_rank()), ncclSuccess);
  }
  ~HostNccl() { EXPECT_EQ(ncclCommDestroy(comm_), ncclSuccess); }
  HostNccl(const HostNccl&) = delete;
  HostNccl& operator=(const HostNccl&) = delete;
  ncclComm_t get() const { return comm_; }

 private:
  ncclComm_t comm_ = nullptr;
};

void expect_reduces(DeviceCommunicator& group) {
  const TestStream stream;
  const std::vector<std::int64_t> ones = {1, -2};
  const std::vector<std::uint64_t> ranks = {static_cast<std::uint64_t>(world_rank())};
  DeviceBuffer<std::int64_t> sums{std::span<const std::int64_t>(ones)};
  DeviceBuffer<std::uint64_t> maxima{std::span<const std::uint64_t>(ranks)};
  group.all_reduce(sums.span(), maxima.span(), stream.ref());
  group.wait(stream.ref());
  EXPECT_THAT(sums.host(), testing::ElementsAre(world_size(), -2 * world_size()));
  EXPECT_THAT(maxima.host(), testing::ElementsAre(world_size() - 1));
}

TEST(NcclCommunicator, SitsOnItsDevice) {
  const auto group = make_nccl_world();
  EXPECT_EQ(group->device(), own_device());
  EXPECT_EQ(group->rank(), world_rank());
  EXPECT_EQ(group->size(), world_size());
}

// Nothing is waited for between operations: a stream's order is enough.
TEST(NcclCommunicator, OperationsFollowEachOtherOnAStream) {
  const auto group = make_nccl_world();
  const TestStream stream;
  const auto ranks = static_cast<std::size_t>(world_size());
  const std::vector<std::byte> mine(100, static_cast<std::byte>(world_rank() + 1));
  DeviceBuffer<std::byte> send{std::span<const std::byte>(mine)};
  DeviceBuffer<std::byte> gathered(100 * ranks), exchanged(100 * ranks);
  group->all_gather(send.span(), gathered.span(), stream.ref());
  group->all_to_all(gathered.span(), exchanged.span(), stream.ref());  // block r is r + 1 everywhere
  EXPECT_THAT(group->outstanding(), testing::AnyOf("", HasSubstr("number")));
  group->wait(stream.ref());
  EXPECT_EQ(group->outstanding(), "");
  EXPECT_THAT(exchanged.host(), testing::Each(static_cast<std::byte>(world_rank() + 1)));
}

TEST(NcclCommunicator, GathersInPlace) {
  const auto group = make_nccl_world();
  const TestStream stream;
  const std::vector<std::byte> mine(64 * static_cast<std::size_t>(world_size()), static_cast<std::byte>(world_rank() + 1));
  DeviceBuffer<std::byte> all{std::span<const std::byte>(mine)};
  group->all_gather(all.span().subspan(64 * static_cast<std::size_t>(world_rank()), 64), all.span(), stream.ref());
  group->wait(stream.ref());
  const auto host = all.host();
  for (std::size_t i = 0; i < host.size(); ++i) EXPECT_EQ(host[i], static_cast<std::byte>(i / 64 + 1)) << i;
}

TEST(NcclCommunicator, RefusesTheHostsStream) {
  const auto group = make_nccl_world();
  EXPECT_THROW(group->all_gather({}, {}, host_stream), InvalidArgument);
  EXPECT_THROW(group->all_to_all({}, {}, host_stream), InvalidArgument);
  EXPECT_THROW(group->all_reduce({}, {}, host_stream), InvalidArgument);
  EXPECT_THROW(group->wait(host_stream), InvalidArgument);
  expect_reduces(*group);
}

TEST(NcclCommunicator, IsBorrowedAndLeftAlive) {
  const HostNccl owner;
  const auto world = borrow_communicator(MPI_COMM_WORLD);
  for (int time = 0; time < 2; ++time) {
    const auto group = borrow_nccl_communicator(owner.get(), *world, own_device());
    expect_reduces(*group);
  }
  int ranks = 0;
  EXPECT_EQ(ncclCommCount(owner.get(), &ranks), ncclSuccess);
  EXPECT_EQ(ranks, world_size());
}

TEST(NcclCommunicator, IsNotBorrowedUnlessItFitsOnEveryRank) {
  const HostNccl owner;
  const auto world = borrow_communicator(MPI_COMM_WORLD);
  const bool odd_one = world_rank() == world_size() - 1;  // one rank is wrong, all refuse
  EXPECT_THROW(borrow_nccl_communicator(odd_one ? nullptr : owner.get(), *world, own_device()), InvalidArgument);
  EXPECT_THROW(borrow_nccl_communicator(owner.get(), *world, odd_one ? 1000 : own_device()), InvalidArgument);
  if (devices().size() > 1) {
    const int other = (own_device() + 1) % static_cast<int>(devices().size());
    try {
      borrow_nccl_communicator(owner.get(), *world, odd_one ? other : own_device());
      ADD_FAILURE() << "a communicator of another device was borrowed";
    } catch (const InvalidArgument& error) {
      EXPECT_THAT(error.what(), HasSubstr("not on device"));
    }
  }
  if (world_size() > 1) {
    const auto alone = make_self_communicator();
    EXPECT_THROW(borrow_nccl_communicator(owner.get(), *alone, own_device()), InvalidArgument);
  }
}

TEST(NcclCommunicator, OptionsMustBeRightOnEveryRank) {
  const auto world = borrow_communicator(MPI_COMM_WORLD);
  const bool odd_one = world_rank() == world_size() - 1;
  for (const double seconds : {0.0, -1.0, std::nan("")}) {
    const NcclOptions options{std::chrono::duration<double>(odd_one ? seconds : 60.0), "the group"};
    EXPECT_THROW(make_nccl_communicator(*world, own_device(), options), InvalidArgument);
  }
  EXPECT_THROW(make_nccl_communicator(*world, odd_one ? -1 : own_device()), InvalidArgument);
}

TEST(DeviceMesh, HasTheGroupsOfTheMesh) {
  for (int vocab = 1; vocab <= world_size(); ++vocab) {
    if (world_size() % vocab != 0) continue;
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {world_size() / vocab, vocab});
    DeviceMesh devices = make_nccl_mesh(mesh, own_device());
    EXPECT_EQ(devices.vocab().size(), vocab);
    EXPECT_EQ(devices.vocab().rank(), mesh.vocab_part());
    EXPECT_EQ(devices.batch().size(), world_size() / vocab);
    EXPECT_EQ(devices.batch().rank(), mesh.batch_part());
    EXPECT_EQ(devices.device(), own_device());
    expect_reduces(devices.world());
    EXPECT_THROW(DeviceMesh(mesh, nullptr, nullptr, nullptr), InvalidArgument);
  }
}

TEST(BindDevice, GivesEveryRankItsOwn) {
  const auto world = borrow_communicator(MPI_COMM_WORLD);
  const int device = own_device();
  std::vector<std::array<unsigned char, 16>> all(static_cast<std::size_t>(world->size()));
  const auto mine = devices().at(static_cast<std::size_t>(device)).uuid;
  world->all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  for (std::size_t rank = 0; rank < all.size(); ++rank) EXPECT_EQ(std::count(all.begin(), all.end(), all[rank]), 1);
}

TEST(BindDevice, RefusesMoreRanksThanGpusOnEveryRank) {
  if (world_size() < 2) GTEST_SKIP() << "takes two";
  const auto world = borrow_communicator(MPI_COMM_WORLD);
  try {
    bind_device(*world, {0, world_size()});  // as if each were the first of its node
    ADD_FAILURE() << "two ranks share a GPU";
  } catch (const BackendUnavailable& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("more ranks than GPUs"), HasSubstr("ranks 0 and 1")));
  }
}

}  // namespace
}  // namespace klmesh
