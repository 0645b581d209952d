// The device's second stage against the long double oracle, and its bits over parts, places and numbers of rows.
#include <gmock/gmock.h>

#include <limits>

#include "core/cuda/device_batch.hpp"
#include "core/cuda/second_stage.hpp"
#include "core/oracle.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

struct Case {
  HostRows policy, reference;
  std::vector<std::uint8_t> mask = {};
  std::int64_t policy_offset = 0, reference_offset = 0;
  int parts = 1;

  RowInputs inputs() const { return {.targets = {}, .mask = mask, .sequence = {}}; }
  std::vector<TokenStats> tokens() const { return cpu_tokens(policy, reference, inputs()); }

  // (rows) folded over the parts
  std::vector<SecondStagePartial> run(const std::vector<TokenStats>& stats) const {
    const DeviceRows a(policy, policy_offset), b(reference, reference_offset);
    const DeviceArray<TokenStats> tokens_there(stats);
    const DeviceArray<std::uint8_t> mask_there(mask);
    const TestStream stream;
    std::vector<std::vector<SecondStagePartial>> of_rows(stats.size());
    for (int part = 0; part < parts; ++part) {
      const VocabShard shard = vocab_shard(policy.columns, part, parts);
      const DeviceArray<SecondStagePartial> out(stats.size());
      cuda::second_stage(from_column(a.view(), shard.begin), from_column(b.view(), shard.begin), shard,
                         {.targets = {}, .mask = mask_there.span(), .sequence = {}}, tokens_there.span(), out.span(),
                         stream.ref());
      const std::vector<SecondStagePartial> got = out.host();
      for (std::size_t row = 0; row < got.size(); ++row) of_rows[row].push_back(got[row]);
    }
    std::vector<SecondStagePartial> folded;
    for (const auto& of_parts : of_rows) folded.push_back(fold(std::span<const SecondStagePartial>(of_parts)));
    return folded;
  }
};

bool same_bits(const SecondStagePartial& x, const SecondStagePartial& y) { return std::memcmp(&x, &y, sizeof x) == 0; }

void expect_bar(double actual, long double expected, const std::string& what) {
  EXPECT_LE(std::fabs(actual - expected), 2e-6L * std::fabs(expected) + 3e-10L)
      << what << ": " << actual << " for " << static_cast<double>(expected);
}

void expect_oracle(const Case& c, const std::vector<std::string>& names) {
  const std::vector<SecondStagePartial> got = c.run(c.tokens());
  for (std::size_t row = 0; row < got.size(); ++row) {
    std::vector<double> a = c.policy.numbers(static_cast<std::int64_t>(row));
    std::vector<double> b = c.reference.numbers(static_cast<std::int64_t>(row));
    for (double& x : a) x *= c.policy.scale;
    for (double& x : b) x *= c.reference.scale;
    const OracleRow want = oracle<double>(a, b);
    expect_bar(got[row].jensen_shannon, want.jensen_shannon, names[row] + ": jensen_shannon");
    expect_bar(got[row].total_variation, want.total_variation, names[row] + ": total_variation");
    expect_bar(got[row].kl_policy_mixture, want.kl_policy_mixture, names[row] + ": kl_policy_mixture");
  }
}

template <typename T>
void expect_hard_rows(DType dtype, std::size_t columns) {
  const auto pairs = RowFactory<T>(columns, 7).adversarial();
  const RowLists<T> rows(pairs);
  std::vector<std::string> names;
  for (const auto& pair : pairs) names.push_back(pair.name);
  Case c{host_rows(rows.policy, dtype), host_rows(rows.reference, dtype)};
  expect_oracle(c, names);
}

TEST(CudaSecondStage, MeetsTheBarsOnHardRowsF32) { expect_hard_rows<float>(DType::f32, 3001); }
TEST(CudaSecondStage, MeetsTheBarsOnHardRowsF64) { expect_hard_rows<double>(DType::f64, 1003); }

TEST(CudaSecondStage, SixteenBitAndScaledLogits) {
  RowFactory<float> factory(777, 3);
  const std::vector<RowPair<float>> pairs{factory.noisy(1e-2), factory.noisy(1.0), factory.top_moved(-20)};
  const RowLists<float> rows(pairs);
  for (const DType dtype : {DType::bf16, DType::f16, DType::f32}) {
    Case c{host_rows(rows.policy, dtype), host_rows(rows.reference, dtype)};
    expect_oracle(c, {"0.01", "1", "top"});
    c.policy.scale = c.reference.scale = 1 / 0.7;
    expect_oracle(c, {"0.01 scaled", "1 scaled", "top scaled"});
    c.reference.scale = 1.25;
    expect_oracle(c, {"0.01 unequal", "1 unequal", "top unequal"});
  }
}

TEST(CudaSecondStage, IdenticalRowsAreExactlyZero) {
  const RowLists<float> rows({{"", RowFactory<float>(333, 3).normal(3), {}}});
  const HostRows same = host_rows(rows.policy, DType::f32);
  const SecondStagePartial got = Case{same, same}.run(cpu_tokens(same, same, {}))[0];
  EXPECT_TRUE(same_bits(got, {0, 0, 0})) << got.jensen_shannon << ' ' << got.total_variation;
}

TEST(CudaSecondStage, BitsDoNotDependOnPartsPlacesOrNumberOfRows) {
  for (const DType dtype : {DType::bf16, DType::f32, DType::f64}) {
    RowFactory<float> factory(5003, 3);
    const RowLists<float> rows({factory.noisy(0.7), factory.noisy(1e-3)});
    Case c{host_rows(rows.policy, dtype), host_rows(rows.reference, dtype)};
    const std::vector<TokenStats> tokens = c.tokens();
    const std::vector<SecondStagePartial> want = c.run(tokens);
    for (const int parts : {2, 16}) {
      c.policy = host_rows(rows.policy, dtype, parts % 3);
      c.reference = host_rows(rows.reference, dtype, parts % 7);
      c.policy_offset = parts % 5;
      c.reference_offset = parts % 11;
      c.parts = parts;
      const std::vector<SecondStagePartial> got = c.run(tokens);
      for (std::size_t row = 0; row < 2; ++row) EXPECT_TRUE(same_bits(got[row], want[row])) << parts << ' ' << row;
    }
  }
  RowFactory<float> factory(40, 3);
  const RowPair<float> pair = factory.noisy(0.7);
  const Case one{host_rows(std::vector(1, pair.policy), DType::bf16), host_rows(std::vector(1, pair.reference), DType::bf16)};
  const Case many{host_rows(std::vector(520, pair.policy), DType::bf16), host_rows(std::vector(520, pair.reference), DType::bf16)};
  const SecondStagePartial want = one.run(one.tokens())[0];
  for (const SecondStagePartial& got : many.run(many.tokens())) EXPECT_TRUE(same_bits(got, want));
}

TEST(CudaSecondStage, MaskedAndInvalidRowsAreZero) {
  std::vector<std::vector<float>> a(3, std::vector<float>(40, 1.0f)), b = a;
  a[0].assign(40, std::numeric_limits<float>::quiet_NaN());
  a[1][5] = std::numeric_limits<float>::infinity();
  b[2][3] = 2;
  const Case c{host_rows(a, DType::f32), host_rows(b, DType::f32), {0, 1, 1}};
  const std::vector<SecondStagePartial> got = c.run(c.tokens());
  EXPECT_TRUE(same_bits(got[0], {0, 0, 0}));
  EXPECT_TRUE(same_bits(got[1], {0, 0, 0}));
  EXPECT_GT(got[2].jensen_shannon, 0);
}

TEST(CudaSecondStage, RefusesAHostStream) {
  EXPECT_THROW(cuda::second_stage({}, {}, {}, {}, {}, {}, host_stream), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::test
