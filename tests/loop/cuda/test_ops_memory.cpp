// Memory, copies and exchanges of a GPU's operations.
#include "loop/cuda/both_ops.hpp"

namespace klmesh::loop {
namespace {

using testing::Each;
using testing::ElementsAre;

TEST(CudaOpsMemory, IsZeroAtFirstAndCopiedInAndOut) {
  BothOps both({world_size(), 1});
  cuda::CudaOps& ops = both.device;
  EXPECT_EQ(ops.memory(), TensorOps::Memory::device);
  EXPECT_FALSE(ops.stream().is_host());
  Buffer<float> buffer(ops, "test", 1000);
  EXPECT_THAT(get(buffer), Each(0.0f));
  std::vector<float> values = normals(std::size_t{1000}, 1);
  const std::vector<float> kept = values;
  buffer.upload(CopyReason::start, values);
  values.assign(values.size(), -1.0f);  // the host's array is free again
  EXPECT_EQ(get(buffer), kept);
  const Buffer<float> copy = buffer;
  buffer.clear();
  EXPECT_THAT(get(buffer), Each(0.0f));
  EXPECT_EQ(get(copy), kept);
}

// More than fits into pinned memory at once, in one copy and in several that nothing waits for.
TEST(CudaOpsMemory, UploadsOfAnySizeArriveWhole) {
  BothOps both({world_size(), 1});
  constexpr std::size_t kMany = cuda::Uploads::kBytes / sizeof(float);
  std::vector<float> values(2 * kMany + 333);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Buffer<float> large = put(both.device, values);
  std::vector<Buffer<float>> parts;
  std::vector<float> part(kMany / 3);
  for (int i = 0; i < 5; ++i) {
    part.assign(part.size(), static_cast<float>(i));
    parts.push_back(put(both.device, part));
  }
  EXPECT_TRUE(same_bits(get(large), values));
  for (int i = 0; i < 5; ++i) EXPECT_THAT(get(parts[static_cast<std::size_t>(i)]), Each(static_cast<float>(i)));
}

TEST(CudaOpsMemory, IsCountedByNameAndCopiesByReason) {
  BothOps both({world_size(), 1});
  const MemoryLedger& ledger = both.device.ledger();
  const auto before = ledger.bytes_now(), allocations = ledger.allocations();
  EXPECT_GE(before, static_cast<std::int64_t>(cuda::Gemm::kWorkspaceBytes));
  {
    Buffer<double> buffer(both.device, "test", 100);
    EXPECT_EQ(ledger.bytes_now(), before + 800);
    buffer.upload(CopyReason::batch, std::vector<double>(100, 1.0));
    static_cast<void>(buffer.download(CopyReason::checkpoint));
  }
  EXPECT_EQ(ledger.bytes_now(), before);
  EXPECT_EQ(ledger.peak_bytes(), before + 800);
  EXPECT_EQ(ledger.allocations(), allocations + 1);
  EXPECT_EQ(ledger.uploads(CopyReason::batch), (CopyCount{1, 800}));
  EXPECT_EQ(ledger.downloads(CopyReason::checkpoint), (CopyCount{1, 800}));
  EXPECT_EQ(ledger.downloads(CopyReason::batch), (CopyCount{0, 0}));
}

TEST(CudaOpsMemory, FillsAndWidens) {
  BothOps both({world_size(), 1});
  TensorOps& ops = both.device;
  Buffer<double> doubles(ops, "test", 300);
  Buffer<std::int32_t> words(ops, "test", 300);
  Buffer<std::int64_t> wide(ops, "test", 300);
  ops.fill(doubles.span(), -0.25);
  ops.fill(words.span(), -7);
  ops.widen(words.span(), wide.span());
  EXPECT_THAT(get(doubles), Each(-0.25));
  EXPECT_THAT(get(wide), Each(-7));
  const std::vector<float> values = normals(std::size_t{300}, 2);
  ops.widen(put(ops, values).span(), doubles.span());
  EXPECT_EQ(get(doubles), std::vector<double>(values.begin(), values.end()));
}

TEST(CudaOpsGroups, EachReducesOverItsOwnRanks) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    for (const auto group : {TensorOps::Group::vocab, TensorOps::Group::batch, TensorOps::Group::world}) {
      std::vector<std::vector<std::int64_t>> sums;
      std::vector<std::vector<std::uint64_t>> maxima;
      for (TensorOps* const ops : {static_cast<TensorOps*>(&both.host), static_cast<TensorOps*>(&both.device)}) {
        Buffer<std::int64_t> sum = put(*ops, std::vector<std::int64_t>{1, std::int64_t{1} << (20 * world_rank())});
        Buffer<std::uint64_t> maximum = put(*ops, std::vector<std::uint64_t>{static_cast<std::uint64_t>(world_rank())});
        ops->all_reduce(group, sum.span(), maximum.span());
        sums.push_back(get(sum));
        maxima.push_back(get(maximum));
      }
      EXPECT_EQ(sums[1], sums[0]) << to_string(shape);
      EXPECT_EQ(maxima[1], maxima[0]) << to_string(shape);
    }
  }
}

// A bound that only one rank of a vocabulary group knows to be bad, and one that only the exchange saturates.
TEST(CudaOpsGroups, RanksOfAVocabularyGroupAgreeOnValidity) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    const bool odd_one = both.mesh.vocab_part() == shape.vocab - 1;
    const std::vector<std::int64_t> values{odd_one ? kBoundLimit : 5, 7, 3 * kBoundSaturated};
    Buffer<std::int64_t> bounds = put(both.device, values);
    both.device.agree_on_validity(bounds.span());
    const std::vector<std::int64_t> got = get(bounds);
    EXPECT_FALSE(is_valid_bound(got[0])) << to_string(shape);
    EXPECT_THAT(std::span(got).subspan(1), ElementsAre(7, kBoundSaturated)) << to_string(shape);
  }
}

}  // namespace
}  // namespace klmesh::loop
