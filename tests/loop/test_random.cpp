#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/gumbel.hpp"
#include "klmesh/error.hpp"
#include "loop/random.hpp"

namespace klmesh::loop {
namespace {

TEST(Random, BlocksInARunAreTheBlocksOneByOne) {
  const RandomStream stream{0xDEADBEEF12345678u, RandomPurpose::sampling, 7};
  for (const std::size_t count : {1u, 63u, 64u, 65u, 200u}) {
    std::vector<std::uint32_t> w[4];
    for (auto& words : w) words.resize(count);
    random_blocks(stream, 0xABCDEF012345u, 11, {w[0], w[1], w[2], w[3]});
    for (std::size_t i = 0; i < count; ++i) {
      const auto block = random_block(stream, 0xABCDEF012345u, 11 + static_cast<std::uint32_t>(i));
      EXPECT_THAT(block, testing::ElementsAre(w[0][i], w[1][i], w[2][i], w[3][i])) << count << " " << i;
    }
  }
}

TEST(Random, EveryPartOfTheKeyMatters) {
  const auto base = random_block({1, RandomPurpose::sampling, 2}, 3, 4);
  EXPECT_NE(base, random_block({2, RandomPurpose::sampling, 2}, 3, 4));
  EXPECT_NE(base, random_block({1ull << 32 | 1, RandomPurpose::sampling, 2}, 3, 4));
  EXPECT_NE(base, random_block({1, RandomPurpose::head, 2}, 3, 4));
  EXPECT_NE(base, random_block({1, RandomPurpose::sampling, 1}, 3, 4));
  EXPECT_NE(base, random_block({1, RandomPurpose::sampling, 2}, 2, 4));
  EXPECT_NE(base, random_block({1, RandomPurpose::sampling, 2}, 3 + (1ull << 40), 4));
  EXPECT_NE(base, random_block({1, RandomPurpose::sampling, 2}, 3, 5));
  EXPECT_EQ(base, random_block({1, RandomPurpose::sampling, 2}, 3, 4));
}

TEST(Random, UniformsAreInsideTheOpenInterval) {
  EXPECT_EQ(uniform53(0, 0), 0x1p-53);
  EXPECT_EQ(uniform53(0xFFFFFFFFu, 0xFFFFFFFFu), 1.0 - 0x1p-53);
}

TEST(Random, UniformHasTheRightMoments) {
  constexpr int kCount = 100000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kCount; ++i) {
    const double u = random_uniform({3, RandomPurpose::head, 0}, static_cast<std::uint64_t>(i));
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 5 * std::sqrt(1.0 / 12 / kCount));
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kCount));
}

TEST(Random, BelowCoversItsRangeEvenly) {
  constexpr std::int64_t kBound = 7;
  std::vector<int> counts(kBound);
  for (std::uint64_t i = 0; i < 70000; ++i) {
    const std::int64_t value = random_below({5, RandomPurpose::mle_batches, 1}, i, kBound);
    ASSERT_TRUE(value >= 0 && value < kBound);
    ++counts[static_cast<std::size_t>(value)];
  }
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
  // Large bounds use the high words of the product.
  double mean = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    mean += static_cast<double>(random_below({5, RandomPurpose::mle_batches, 2}, i, std::int64_t{1} << 60)) *
            1e-4;
  }
  EXPECT_NEAR(mean * 0x1p-60, 0.5, 0.02);
  EXPECT_THROW(random_below({}, 0, 0), InvalidArgument);
}

TEST(Gumbel, LogarithmIsCloseToTheExactOne) {
  for (int i = 0; i < 200000; ++i) {
    const double u = random_uniform({9, RandomPurpose::head, 0}, static_cast<std::uint64_t>(i));
    for (const double x : {u, 1.0 - 0x1p-53 - u * 1e-9, u * 1e-12, u * 40}) {
      const long double exact = std::log(static_cast<long double>(x));
      const double ulp = std::nextafter(std::fabs(static_cast<double>(exact)), INFINITY) -
                         std::fabs(static_cast<double>(exact));
      ASSERT_LE(std::fabs(static_cast<double>(natural_log(x) - exact)), 2 * ulp) << x;
    }
  }
  EXPECT_EQ(natural_log(1.0), 0.0);
}

TEST(Gumbel, NoiseIsFiniteAtTheEnds) {
  EXPECT_NEAR(gumbel(0x1p-53), -std::log(53 * std::log(2.0)), 1e-12);
  EXPECT_NEAR(gumbel(1.0 - 0x1p-53), 53 * std::log(2.0), 1e-12);
}

}  // namespace
}  // namespace klmesh::loop
