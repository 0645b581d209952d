#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/exact_gradient.hpp"
#include "loop/host/fixed_point_sums.hpp"
#include "loop/random.hpp"

namespace klmesh::loop {
namespace {

ExactGradient two_tensors() { return ExactGradient({{"left", 3}, {"right", 100}}); }

/// The word of one value, by its definition.
std::int64_t word_of(float value) { return std::llrint(static_cast<long double>(value) * 0x1p50L); }

TEST(ExactGradient, ValuesOfEveryMagnitudeAreRoundedToTheNearestWord) {
  for (int exponent = -70; exponent < 11; ++exponent) {
    std::vector<float> values;
    for (std::uint64_t i = 0; i < 37; ++i) {
      const double u = 2 * random_uniform({1, RandomPurpose::head, 0},
                                          i + 100 * static_cast<std::uint64_t>(exponent + 70)) -
                       1;
      values.push_back(static_cast<float>(std::ldexp(u, exponent)));
    }
    values.push_back(static_cast<float>(std::ldexp(0.5, -50)));  // ties go to the even word
    values.push_back(static_cast<float>(std::ldexp(1.5, -50)));
    values.push_back(-static_cast<float>(std::ldexp(2.5, -50)));
    values.push_back(-std::nextafter(2048.0f, 0.0f));
    std::vector<std::int64_t> sums(values.size(), 5);
    std::int64_t bound = 0;
    add({sums.data(), static_cast<std::int64_t>(sums.size()), &bound}, 0, std::span<const float>(values));
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(sums[i] - 5, word_of(values[i])) << values[i];
  }
}

TEST(ExactGradient, AnyOrderGivesTheSameWords) {
  std::vector<float> values(100);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(std::exp(10 * random_uniform({2, RandomPurpose::head, 0}, i)) * 1e-3);
  }
  ExactGradient forward = two_tensors(), backward = two_tensors(), half = two_tensors();
  for (std::size_t i = 0; i < 100; ++i) {
    forward.add(0, 1, std::span(values).subspan(i, 1));
    backward.add(0, 1, std::span(values).subspan(99 - i, 1));
  }
  for (std::size_t i = 0; i < 50; ++i) half.add(0, 1, static_cast<double>(values[2 * i]));
  for (std::size_t i = 0; i < 50; ++i) half.add(0, 1, std::span(values).subspan(2 * i + 1, 1));
  EXPECT_THAT(backward.words(), testing::ElementsAreArray(forward.words()));
  EXPECT_THAT(half.words(), testing::ElementsAreArray(forward.words()));
  EXPECT_NE(forward.words(0)[1], 0);
}

TEST(ExactGradient, ReadsBackWhatWasAdded) {
  ExactGradient gradient = two_tensors();
  gradient.add(1, 98, std::vector<float>{0.25f, -3.0f});
  gradient.add(1, 99, 1.0);
  std::vector<float> values(100);
  gradient.read(1, values);
  EXPECT_EQ(values[98], 0.25f);
  EXPECT_EQ(values[99], -2.0f);
  EXPECT_EQ(gradient.read(1, 99), -2.0);
  EXPECT_NO_THROW(gradient.check());
  EXPECT_THROW(gradient.read(0, values), InvalidArgument);
}

TEST(ExactGradient, BadValuesAreNamedAndNeverSilent) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kNan, -kNan, kInfinity, -kInfinity, 2048.0f, -2048.0f}) {
    ExactGradient gradient = two_tensors();
    std::vector<float> values(40, 1.0f);
    values[17] = bad;
    gradient.add(1, 0, values);
    ExactGradient by_value = two_tensors();
    by_value.add(1, 3, static_cast<double>(bad));
    for (ExactGradient* g : {&gradient, &by_value}) {
      EXPECT_TRUE(g->valid(0));
      EXPECT_FALSE(g->valid(1));
      try {
        g->check();
        ADD_FAILURE() << bad << " passed";
      } catch (const InvalidData& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("right"));
      }
      g->clear();
      EXPECT_NO_THROW(g->check());
    }
  }
}

TEST(ExactGradient, SumsThatMayWrapAreRefused) {
  ExactGradient gradient = two_tensors();
  const std::vector<float> values(3, 2000.0f);
  for (int i = 0; i < 4; ++i) gradient.add(0, 0, values);
  EXPECT_NO_THROW(gradient.check());
  ExactGradient other = gradient;
  gradient.add(0, 0, values);  // 10000 >= 2^13
  EXPECT_THROW(gradient.check(), InvalidData);
  other.add(0, 0, std::vector<float>{-2000.0f});  // the sum would fit, but the bound does not know of signs
  EXPECT_THROW(other.check(), InvalidData);
  for (int i = 0; i < 100; ++i) other.add(0, 0, values);
  EXPECT_THROW(other.check(), InvalidData);
}

}  // namespace
}  // namespace klmesh::loop
