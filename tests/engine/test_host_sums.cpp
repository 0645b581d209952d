// Sums that the engine keeps, in the host's memory: what a StepSums of the caller's says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "klmesh/engine.hpp"
#include "klmesh/error.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh {
namespace {

constexpr std::int64_t kVocab = 70, kRows = 9, kSequences = 3;

int world_size() {
  int ranks = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  return ranks;
}

/// The same rows on every rank, this rank's columns of them.
struct Rows {
  std::vector<float> policy, reference;
  std::vector<std::int64_t> targets, sequence;
  std::vector<std::uint8_t> mask;
  std::int64_t columns;
  std::vector<TokenStats> tokens{kRows};

  explicit Rows(const VocabShard& shard) : columns(shard.columns()) {
    for (std::int64_t row = 0; row < kRows; ++row) {
      for (std::int64_t v = shard.begin; v < shard.end; ++v) {
        policy.push_back(static_cast<float>(std::sin(0.7 * static_cast<double>(row * kVocab + v))));
        reference.push_back(static_cast<float>(std::cos(0.3 * static_cast<double>(row * kVocab + v))));
      }
      targets.push_back(row * 31 % kVocab);
      sequence.push_back(row % kSequences);
      mask.push_back(row == 4 ? 0 : 1);
    }
  }
  RowInputs inputs() const { return {.targets = targets, .mask = mask, .sequence = sequence}; }
  void evaluate(Engine& engine) {
    engine.evaluate(logits_view(policy.data(), kRows, columns), logits_view(reference.data(), kRows, columns), inputs(),
                    tokens, host_stream);
  }
};

void expect_same(const StepStatistics& a, const StepStatistics& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.masked_tokens, b.masked_tokens);
  EXPECT_EQ(a.invalid_rows, b.invalid_rows);
  EXPECT_EQ(a.sequences, b.sequences);
  for (int q = 0; q < kCoreQuantities; ++q) {
    const auto& x = a.quantities[static_cast<std::size_t>(q)];
    const auto& y = b.quantities[static_cast<std::size_t>(q)];
    EXPECT_EQ(x.count, y.count) << q;
    for (const auto& [left, right] : {std::pair{x.sum, y.sum}, {x.mean, y.mean}, {x.min, y.min}, {x.max, y.max},
                                      {x.standard_deviation, y.standard_deviation},
                                      {x.standard_error_clustered, y.standard_error_clustered}}) {
      EXPECT_EQ(std::memcmp(&left, &right, sizeof left), 0) << q << ": " << left << ", " << right;
    }
  }
}

class HostSums : public ::testing::Test {
 protected:
  Mesh mesh_ = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  Engine engine_{mesh_, kVocab};
  Rows rows_{engine_.shard()};
};

TEST_F(HostSums, SayWhatStepSumsSay) {
  rows_.evaluate(engine_);
  StepSums expected(kSequences);
  DeviceStepSums sums = engine_.make_device_sums(kSequences);
  for (int micro_batch = 0; micro_batch < 2; ++micro_batch) {
    engine_.accumulate(rows_.tokens, rows_.inputs(), expected);
    engine_.accumulate(rows_.tokens, rows_.inputs(), sums, host_stream);
    expect_same(engine_.reduce(sums, false, host_stream), engine_.reduce(expected));  // and sums stay as they are
  }
  engine_.clear(sums, host_stream);
  EXPECT_THROW(engine_.reduce(sums, false, host_stream), InvalidData);  // no token
}

TEST_F(HostSums, InvalidRowsAreNamedOrSkipped) {
  if (mesh_.world().rank() == 0) rows_.policy[1] = std::numeric_limits<float>::quiet_NaN();
  rows_.evaluate(engine_);
  DeviceStepSums sums = engine_.make_device_sums(kSequences);
  engine_.accumulate(rows_.tokens, rows_.inputs(), sums, host_stream);
  try {
    engine_.reduce(sums, false, host_stream);
    ADD_FAILURE() << "an invalid row passed";
  } catch (const InvalidData& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("row 0"));
  }
  EXPECT_EQ(engine_.reduce(sums, true, host_stream).invalid_rows, 1);
}

// What only one rank can see is told to all of them.
TEST_F(HostSums, OfAnotherBackEndThrowOnEveryRank) {
  struct Foreign final : DeviceStepSums::Storage {};
  const bool odd = mesh_.world().rank() == mesh_.world().size() - 1;
  DeviceStepSums sums = odd ? DeviceStepSums(std::make_unique<Foreign>(), kSequences, QuantitySet::core)
                            : engine_.make_device_sums(kSequences);
  EXPECT_THROW(engine_.reduce(sums, false, host_stream), InvalidArgument);
}

TEST_F(HostSums, AndStepSumsAreNotReducedTogether) {
  if (mesh_.world().size() == 1) GTEST_SKIP() << "takes two";
  rows_.evaluate(engine_);
  StepSums others(kSequences);
  DeviceStepSums sums = engine_.make_device_sums(kSequences);
  engine_.accumulate(rows_.tokens, rows_.inputs(), others);
  engine_.accumulate(rows_.tokens, rows_.inputs(), sums, host_stream);
  try {
    static_cast<void>(mesh_.world().rank() == 0 ? engine_.reduce(others) : engine_.reduce(sums, false, host_stream));
    ADD_FAILURE() << "sums of two kinds passed";
  } catch (const InvalidData& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("kind of the sums: StepSums on rank 0; DeviceStepSums on rank"));
  }
}

}  // namespace
}  // namespace klmesh
