#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/buffer.hpp"
#include "loop/host/host_ops.hpp"

namespace klmesh::loop {
namespace {

using ::testing::ElementsAre;

class HostOpsTest : public ::testing::Test {
 protected:
  std::int64_t bytes_of(const std::string& name) const {
    for (const NamedBytes& part : ops_.ledger().at_peak()) {
      if (part.name == name) return part.bytes;
    }
    return 0;
  }

  Mesh mesh_ = Mesh::self();
  HostOps ops_{mesh_};
};

TEST_F(HostOpsTest, ABufferIsZeroAndCopiesAreDeep) {
  Buffer<std::int32_t> buffer(ops_, "rows", 3);
  EXPECT_THAT(buffer.span(), ElementsAre(0, 0, 0));
  buffer.fill(7);
  Buffer<std::int32_t> copy = buffer;
  copy.span()[1] = 5;
  EXPECT_THAT(buffer.span(), ElementsAre(7, 7, 7));
  EXPECT_THAT(copy.span(), ElementsAre(7, 5, 7));
  buffer = copy;
  EXPECT_THAT(buffer.span(), ElementsAre(7, 5, 7));
  copy.clear();
  EXPECT_THAT(copy.span(), ElementsAre(0, 0, 0));
  const Buffer<std::int32_t> moved = std::move(buffer);
  EXPECT_THAT(moved.download(CopyReason::samples), ElementsAre(7, 5, 7));
}

TEST_F(HostOpsTest, ABufferAllocatesWhenItGrowsAlone) {
  Buffer<double> buffer(ops_, "rows", 0);
  EXPECT_EQ(ops_.ledger().allocations(), 0);
  for (const std::int64_t size : {10, 3, 0, 10}) buffer.resize(size);
  EXPECT_EQ(ops_.ledger().allocations(), 1);
  EXPECT_EQ(buffer.size(), 10);
  buffer.resize(11);
  EXPECT_EQ(ops_.ledger().allocations(), 2);
  EXPECT_EQ(ops_.ledger().bytes_now(), 88);
}

TEST_F(HostOpsTest, ThePeakIsExplainedByName) {
  {
    const Buffer<float> parameters(ops_, "parameters", 100), moments(ops_, "moments", 200), more(ops_, "moments", 50);
    EXPECT_EQ(ops_.ledger().bytes_now(), 1400);
  }
  EXPECT_EQ(ops_.ledger().bytes_now(), 0);
  const Buffer<float> later(ops_, "logits", 300);
  EXPECT_EQ(ops_.ledger().peak_bytes(), 1400);
  EXPECT_EQ(bytes_of("parameters"), 400);
  EXPECT_EQ(bytes_of("moments"), 1000);
  EXPECT_EQ(bytes_of("logits"), 0);
  EXPECT_EQ(ops_.ledger().at_peak().at(0).name, "moments");
  const Buffer<float> largest(ops_, "logits", 300);
  EXPECT_EQ(ops_.ledger().peak_bytes(), 2400);
  EXPECT_EQ(bytes_of("logits"), 2400);
  EXPECT_EQ(bytes_of("moments"), 0);
}

TEST_F(HostOpsTest, CopiesAreCountedByReason) {
  Buffer<std::int64_t> buffer(ops_, "rows", std::vector<std::int64_t>{1, 2}, CopyReason::start);
  buffer.upload(CopyReason::batch, std::vector<std::int64_t>{3, 4});
  EXPECT_THAT(buffer.download(CopyReason::checkpoint), ElementsAre(3, 4));
  buffer.download(CopyReason::checkpoint);
  const MemoryLedger& ledger = ops_.ledger();
  EXPECT_EQ(ledger.uploads(CopyReason::start), (CopyCount{1, 16}));
  EXPECT_EQ(ledger.uploads(CopyReason::batch), (CopyCount{1, 16}));
  EXPECT_EQ(ledger.downloads(CopyReason::checkpoint), (CopyCount{2, 32}));
  EXPECT_EQ(ledger.uploads(CopyReason::checkpoint), CopyCount{});
  EXPECT_EQ(ledger.downloads(CopyReason::batch), CopyCount{});
  EXPECT_THROW(buffer.upload(CopyReason::batch, std::vector<std::int64_t>{3}), InvalidArgument);
}

TEST_F(HostOpsTest, RewardsOfWordsOutsideTheVocabularyAreNaN) {
  const std::vector<float> scores{0, 0, 0, 2, 4};
  const std::vector<std::int32_t> tokens{3, 4, 3, 5};
  const std::vector<std::uint8_t> mask{1, 0, 1, 1};
  std::vector<TokenStats> stats(4);
  for (TokenStats& token : stats) token.kl_reverse = 0.5;
  std::vector<double> rewards(3, 9), penalties(6, 9);
  std::vector<std::int64_t> seen(6, 9);
  // The second and the third of three sequences are this rank's.
  ops_.sequence_terms(Penalty::exact_reward, {3, 1, 2, 2}, {scores, 1}, tokens, mask, stats, {rewards, penalties, seen});
  EXPECT_EQ(rewards[0], 0);
  EXPECT_EQ(rewards[1], 3);
  EXPECT_TRUE(std::isnan(rewards[2]));
  EXPECT_THAT(penalties, ElementsAre(0, 0, 0.5, 0, 0.5, 0.5));
  EXPECT_THAT(seen, ElementsAre(0, 0, 1, 0, 1, 1));
}

}  // namespace
}  // namespace klmesh::loop
