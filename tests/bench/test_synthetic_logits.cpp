// Every mesh must see the same batch, and its logits must be about what they are said to be.
#include <gtest/gtest.h>

#include <cmath>

#include "klmesh/error.hpp"
#include "synthetic_logits.hpp"

namespace klmesh::bench {
namespace {

TEST(SyntheticLogits, AShardIsAPartOfTheWhole) {
  const SyntheticLogits whole(DType::bf16, 0.5, 0, 6, 0, 100);
  const SyntheticLogits shard(DType::bf16, 0.5, 4, 2, 30, 50);
  for (std::int64_t row = 0; row < 2; ++row) {
    for (std::int64_t v = 0; v < 50; ++v) {
      EXPECT_EQ(shard.policy_at(row, v), whole.policy_at(4 + row, 30 + v));
      EXPECT_EQ(shard.reference_at(row, v), whole.reference_at(4 + row, 30 + v));
    }
  }
}

TEST(SyntheticLogits, StandardDeviationsAreThreeAndTheNoise) {
  constexpr std::int64_t kRows = 20, kColumns = 5000;
  const SyntheticLogits logits(DType::f32, 0.5, 7, kRows, 0, kColumns);
  double sum = 0, square = 0, noise_square = 0, cross = 0;
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t v = 0; v < kColumns; ++v) {
      const double a = logits.policy_at(row, v), d = logits.reference_at(row, v) - a;
      sum += a, square += a * a, noise_square += d * d, cross += a * d;
    }
  }
  constexpr double kCount = kRows * kColumns;
  EXPECT_NEAR(sum / kCount, 0.0, 0.05);
  EXPECT_NEAR(std::sqrt(square / kCount), 3.0, 0.03);
  EXPECT_NEAR(std::sqrt(noise_square / kCount), 0.5, 0.005);
  EXPECT_NEAR(cross / kCount, 0.0, 0.025);  // independent
}

TEST(SyntheticLogits, UnknownTypesAreRefused) {
  EXPECT_EQ(dtype_of("bf16"), DType::bf16);
  EXPECT_EQ(dtype_of("f32"), DType::f32);
  EXPECT_THROW(dtype_of("f8"), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::bench
