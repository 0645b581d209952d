// The estimators' own pass: right, at every length, wherever the maximum is.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/cpu/decode.hpp"
#include "log_normalizers.hpp"

namespace klmesh::bench {
namespace {

long double oracle(const std::vector<float>& x) {
  long double largest = -HUGE_VALL, sum = 0;
  for (const float v : x) largest = std::max(largest, static_cast<long double>(v));
  for (const float v : x) sum += std::exp(static_cast<long double>(v) - largest);
  return largest + std::log(sum);
}

void expect_right(DType dtype, const std::vector<float>& policy, const std::vector<float>& reference) {
  const auto columns = static_cast<std::int64_t>(policy.size());
  std::vector<std::byte> a(policy.size() * dtype_bytes(dtype)), b(a.size());
  cpu::encode(policy.data(), columns, dtype, a.data());
  cpu::encode(reference.data(), columns, dtype, b.data());
  std::vector<float> stored_a(policy.size()), stored_b(policy.size());
  cpu::decode(a.data(), dtype, columns, stored_a.data());
  cpu::decode(b.data(), dtype, columns, stored_b.data());

  const LogNormalizers lse = log_normalizers(dtype, a.data(), b.data(), columns);
  const double lse_a = static_cast<double>(oracle(stored_a)), lse_b = static_cast<double>(oracle(stored_b));
  EXPECT_NEAR(lse.policy, lse_a, 2e-6 * std::max(1.0, std::fabs(lse_a))) << columns << " columns";
  EXPECT_NEAR(lse.reference, lse_b, 2e-6 * std::max(1.0, std::fabs(lse_b))) << columns << " columns";
}

class LogNormalizersOf : public testing::TestWithParam<DType> {};

TEST_P(LogNormalizersOf, EveryLength) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::size_t columns :
       {1u, 2u, 15u, 16u, 17u, 31u, 32u, 33u, 63u, 65u, 1000u, 1023u, 1024u, 1025u, 2048u, 5003u, 50257u}) {
    std::vector<float> a(columns), b(columns);
    for (std::size_t v = 0; v < columns; ++v) b[v] = (a[v] = 3 * normal(random)) + 0.1f * normal(random);
    expect_right(GetParam(), a, b);
  }
}

// A reference that is found in the first block must be replaced before a later power overflows.
TEST_P(LogNormalizersOf, MaximumFarAboveTheFirstBlock) {
  for (const std::size_t columns : {3000u, 3001u}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1500}, columns - 1}) {
      std::vector<float> a(columns, -1.0f), b(columns, 2.0f);
      a[at] = 150.0f;
      b[columns - 1 - at] = 40.0f;
      expect_right(GetParam(), a, b);
    }
  }
}

TEST_P(LogNormalizersOf, FarFromZero) {
  for (const float offset : {-300.0f, 300.0f})
    expect_right(GetParam(), std::vector<float>(777, offset), std::vector<float>(777, -offset));
}

INSTANTIATE_TEST_SUITE_P(Types, LogNormalizersOf, testing::Values(DType::f32, DType::bf16),
                         [](const auto& type) { return type.param == DType::f32 ? "f32" : "bf16"; });

}  // namespace
}  // namespace klmesh::bench
