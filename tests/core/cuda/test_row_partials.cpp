// The device's row_partials against the oracle and against itself: every type, hard rows, any layout, any split.
#include <gmock/gmock.h>

#include <cstring>

#include "core/cpu/decode.hpp"
#include "core/cuda/device_array.hpp"
#include "core/cuda/fold_parts.hpp"
#include "core/cuda/kernels.hpp"
#include "core/kernels.hpp"
#include "core/oracle.hpp"
#include "core/rows.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

constexpr double kNoRenyi = std::numeric_limits<double>::quiet_NaN();

// Row-major logits as `dtype`, `offset` elements behind an aligned address, NaN wherever there is no logit.
std::vector<std::byte> memory_image(const std::vector<std::vector<float>>& rows, DType dtype, std::size_t offset,
                                    std::size_t stride) {
  const std::size_t bytes = dtype_bytes(dtype);
  std::vector<std::byte> memory((offset + (rows.size() - 1) * stride + rows[0].size()) * bytes, std::byte{0xff});
  for (std::size_t row = 0; row < rows.size(); ++row) {
    std::byte* at = memory.data() + (offset + row * stride) * bytes;
    if (dtype == DType::f64) {
      const std::vector<double> wide(rows[row].begin(), rows[row].end());
      std::memcpy(at, wide.data(), wide.size() * 8);
    } else {
      cpu::encode(rows[row].data(), static_cast<std::int64_t>(rows[row].size()), dtype, at);
    }
  }
  return memory;
}

class DeviceMatrix {
 public:
  DeviceMatrix(const std::vector<std::vector<float>>& rows, DType dtype, std::size_t offset = 0, std::size_t padding = 0)
      : dtype_(dtype), rows_(rows.size()), stride_(rows[0].size() + padding), offset_(offset),
        memory_(memory_image(rows, dtype, offset, stride_)) {}

  // The columns that a shard owns.
  LogitsView view(std::int64_t first_column, std::int64_t columns) const {
    const std::size_t skip = (offset_ + static_cast<std::size_t>(first_column)) * dtype_bytes(dtype_);
    return {memory_.data() + skip, dtype_, static_cast<std::int64_t>(rows_), columns, static_cast<std::int64_t>(stride_)};
  }

 private:
  DType dtype_;
  std::size_t rows_, stride_, offset_;
  DeviceArray<std::byte> memory_;
};

struct Result {
  std::vector<RowPartial> core;
  std::vector<ExtendedPartial> extended;
};

struct Options {
  double policy_scale = 1.0, reference_scale = 1.0;
  std::vector<std::int64_t> targets = {};
  std::vector<std::uint8_t> mask = {};
  bool extended = false;
  double renyi_alpha = kNoRenyi;
};

// What one part of the vocabulary makes of all rows.
Result run_part(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard, const Options& options) {
  TestStream stream;
  const auto rows = static_cast<std::size_t>(policy.rows);
  DeviceArray<RowPartial> core(rows);
  DeviceArray<ExtendedPartial> extended(options.extended ? rows : 0);
  DeviceArray<std::int64_t> targets(options.targets);
  DeviceArray<std::uint8_t> mask(options.mask);
  DeviceArray<std::byte> workspace(cuda::row_partials_workspace_bytes(policy.rows, shard, options.extended));
  cuda::row_partials(policy, reference, shard, {targets.span(), mask.span(), {}}, core.span(), extended.span(),
                     options.renyi_alpha, workspace.span(), stream.ref());
  return {core.host(), extended.host()};
}

// Both matrices cut into `parts`, and merged row by row.
Result run(const DeviceMatrix& policy, const DeviceMatrix& reference, std::int64_t vocab, int parts, const Options& options) {
  std::vector<Result> results;
  for (int part = 0; part < parts; ++part) {
    const VocabShard shard = vocab_shard(vocab, part, parts);
    LogitsView a = policy.view(shard.begin, shard.columns()), b = reference.view(shard.begin, shard.columns());
    a.scale = options.policy_scale;
    b.scale = options.reference_scale;
    results.push_back(run_part(a, b, shard, options));
  }
  Result all;
  for (std::size_t row = 0; row < results[0].core.size(); ++row) {
    for (const Result& r : results) {
      all.core.push_back(r.core[row]);
      if (options.extended) all.extended.push_back(r.extended[row]);
    }
  }
  if (parts == 1) return all;
  return {fold_on_device(all.core, parts), options.extended ? fold_on_device(all.extended, parts) : all.extended};
}

bool same_bits(const Result& x, const Result& y) {
  return x.core.size() == y.core.size() && x.extended.size() == y.extended.size() &&
         std::memcmp(x.core.data(), y.core.data(), x.core.size() * sizeof(RowPartial)) == 0 &&
         std::memcmp(x.extended.data(), y.extended.data(), x.extended.size() * sizeof(ExtendedPartial)) == 0;
}

std::vector<float> rounded(std::vector<float> x, DType dtype) {
  if (dtype == DType::f16) {
    for (float& v : x) v = std::isinf(v) ? v : std::max(-65504.0f, std::min(v, 65504.0f));
  }
  if (dtype == DType::f16 || dtype == DType::bf16) {
    std::vector<std::uint16_t> narrow(x.size());
    cpu::encode(x.data(), static_cast<std::int64_t>(x.size()), dtype, narrow.data());
    cpu::decode(narrow.data(), dtype, static_cast<std::int64_t>(x.size()), x.data());
  }
  return x;
}

void expect_within(double actual, long double expected, double bar, const std::string& what) {
  if (std::isinf(expected)) {
    EXPECT_EQ(actual, static_cast<double>(expected)) << what;
  } else {
    EXPECT_LE(std::fabs(actual - static_cast<double>(expected)), bar) << what << ": " << actual << " for " << static_cast<double>(expected);
  }
}

// The bars of NUMERICS section 2.
template <typename T>
void expect_bars(const TokenStats& got, const OracleRow& want, const std::string& where) {
  constexpr bool kWide = sizeof(T) == 8;
  // Of divergences from 1e-12 on. Far below, weights of fp32 are flushed to zero: 1e-30 leaves room for that alone.
  const auto kl_bar = [](long double kl) {
    const auto value = static_cast<double>(kl);
    return (kWide ? 1e-9 : 2e-6) * (value > 0.0 ? std::max(value, 1e-30) : value);
  };
  const auto value_bar = [&](long double value) {
    const double loose = want.kl_reverse > 1.0L || want.kl_forward > 1.0L ? 1.5e-6 : 5e-7;
    return (kWide ? 1e-11 : loose) * std::max(1.0, std::fabs(static_cast<double>(value)));
  };
  expect_within(got.kl_reverse, want.kl_reverse, kl_bar(want.kl_reverse), where + ": kl_reverse");
  expect_within(got.kl_forward, want.kl_forward, kl_bar(want.kl_forward), where + ": kl_forward");
  expect_within(got.entropy_policy, want.entropy_policy, value_bar(want.entropy_policy), where + ": entropy_policy");
  expect_within(got.entropy_reference, want.entropy_reference, value_bar(want.entropy_reference), where + ": entropy_reference");
  expect_within(got.normalizer.lse_policy, want.lse_policy, value_bar(want.lse_policy), where + ": lse_policy");
  expect_within(got.lse_reference, want.lse_reference, value_bar(want.lse_reference), where + ": lse_reference");
  EXPECT_GE(got.kl_reverse, 0.0) << where;
  EXPECT_GE(got.kl_forward, 0.0) << where;
}

class DeviceRowPartials : public ::testing::TestWithParam<DType> {};

TEST_P(DeviceRowPartials, MeetsTheBarsOnHardRows) {
  const DType dtype = GetParam();
  constexpr std::size_t kColumns = 1237;
  std::vector<std::vector<float>> policy, reference;
  std::vector<std::string> names;
  for (const auto& pair : RowFactory<float>(kColumns, 7).adversarial()) {
    names.push_back(pair.name);
    policy.push_back(rounded(pair.policy, dtype));
    reference.push_back(rounded(pair.reference, dtype));
  }
  const Result got = run(DeviceMatrix(policy, dtype), DeviceMatrix(reference, dtype), kColumns, 1, {});
  for (std::size_t row = 0; row < names.size(); ++row) {
    expect_bars<float>(finish(got.core[row], false), oracle<float>(policy[row], reference[row]), names[row]);
  }
}

TEST_P(DeviceRowPartials, SameBitsForEveryWholeSubtreeSplit) {
  const DType dtype = GetParam();
  constexpr std::size_t kColumns = 1237;
  RowFactory<float> factory(kColumns, 11);
  std::vector<std::vector<float>> policy, reference;
  for (const auto& pair : {factory.noisy(1e-3), factory.noisy(1.0, 3.0, 160.0)}) {
    policy.push_back(rounded(pair.policy, dtype));
    reference.push_back(rounded(pair.reference, dtype));
  }
  const DeviceMatrix a(policy, dtype), b(reference, dtype);
  const Options all{.targets = {0, 1236}, .extended = true, .renyi_alpha = 0.7};
  const Result whole = run(a, b, kColumns, 1, all);
  for (const int parts : {2, 4, 8, 16, 64}) EXPECT_TRUE(same_bits(run(a, b, kColumns, parts, all), whole)) << parts << " parts";
  const Result three = run(a, b, kColumns, 3, all);
  for (std::size_t row = 0; row < policy.size(); ++row) {
    expect_bars<float>(finish(three.core[row], true), oracle<float>(policy[row], reference[row]), "3 parts");
  }
}

// Two rows of any type and one part, as noisy logits.
struct TwoRows {
  std::vector<std::vector<float>> policy, reference;

  TwoRows(std::size_t columns, DType dtype, double noise = 0.2, double offset = 0.0) {
    RowFactory<float> factory(columns, 5);
    for (int row = 0; row < 2; ++row) {
      const auto pair = factory.noisy(noise, 3.0, offset);
      policy.push_back(rounded(pair.policy, dtype));
      reference.push_back(rounded(pair.reference, dtype));
    }
  }
};

TEST_P(DeviceRowPartials, AlignmentAndStrideLeaveTheBits) {
  const DType dtype = GetParam();
  constexpr std::size_t kColumns = 4111;  // slices of 64 columns, and an odd last one
  const TwoRows rows(kColumns, dtype);
  const Result want = run(DeviceMatrix(rows.policy, dtype), DeviceMatrix(rows.reference, dtype), kColumns, 1, {});
  for (std::size_t offset = 0; offset < 8; ++offset) {
    const DeviceMatrix a(rows.policy, dtype, offset, 8 - offset), b(rows.reference, dtype, (3 * offset) % 8, offset);
    EXPECT_TRUE(same_bits(run(a, b, kColumns, 1, {}), want)) << "offset " << offset;
  }
}

TEST_P(DeviceRowPartials, ManyRowsOrFewLeaveTheBits) {
  const DType dtype = GetParam();
  const TwoRows rows(1041, dtype, 0.3);
  std::vector<std::vector<float>> policy, reference;
  for (int i = 0; i < 515; ++i) {
    policy.push_back(rows.policy[static_cast<std::size_t>(i % 2)]);
    reference.push_back(rows.reference[static_cast<std::size_t>(i % 2)]);
  }
  const Result few = run(DeviceMatrix(rows.policy, dtype), DeviceMatrix(rows.reference, dtype), 1041, 8, {});
  const Result many = run(DeviceMatrix(policy, dtype), DeviceMatrix(reference, dtype), 1041, 8, {});
  for (std::size_t row = 0; row < many.core.size(); ++row) {
    EXPECT_EQ(std::memcmp(&many.core[row], &few.core[row % 2], sizeof(RowPartial)), 0) << row;
  }
}

TEST_P(DeviceRowPartials, LongRowsAndCommonOffsets) {
  const DType dtype = GetParam();
  const TwoRows rows(70001, dtype, 1e-2, 0.75);  // two runs a slice; the offset is guessed
  const Result got = run(DeviceMatrix(rows.policy, dtype), DeviceMatrix(rows.reference, dtype), 70001, 1, {});
  for (std::size_t row = 0; row < 2; ++row) {
    expect_bars<float>(finish(got.core[row], false), oracle<float>(rows.policy[row], rows.reference[row]), "long row");
  }
}

TEST_P(DeviceRowPartials, InvalidColumnsMasksAndTargetsAreTheCpus) {
  const DType dtype = GetParam();
  constexpr std::size_t kColumns = 1237;
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = HUGE_VALF;
  const TwoRows rows(kColumns, dtype);
  std::vector<std::vector<float>> a(6, rows.policy[0]), b(6, rows.reference[0]);
  a[0][700] = nan;
  a[0][900] = nan;
  b[1][3] = infinity;
  b[1][1236] = nan;
  a[2].assign(kColumns, -infinity);
  b[3].assign(kColumns, nan);
  const Options options{.targets = {5, 1235, 0, 7, 1237, -1}, .mask = {1, 1, 1, 0, 1, 1}};
  const Result got = run(DeviceMatrix(a, dtype), DeviceMatrix(b, dtype), kColumns, 1, options);
  for (std::size_t row = 0; row < a.size(); ++row) {
    RowPartial want;
    const VocabShard shard = vocab_shard(kColumns, 0, 1);
    cpu::row_partials(logits_view(a[row].data(), 1, kColumns), logits_view(b[row].data(), 1, kColumns), shard,
                      {.targets = {&options.targets[row], 1}, .mask = {&options.mask[row], 1}, .sequence = {}}, {&want, 1}, {});
    EXPECT_EQ(got.core[row].flags, want.flags) << row;
    EXPECT_EQ(got.core[row].invalid_column, want.invalid_column) << row;
    EXPECT_EQ(got.core[row].target_policy, want.target_policy) << row;
    EXPECT_EQ(got.core[row].target_reference, want.target_reference) << row;
  }
}

float lowest_of(DType dtype) {
  if (dtype == DType::f16) return -65504.0f;
  return dtype == DType::bf16 ? -0x1.fep127f : std::numeric_limits<float>::lowest();
}

// The least number of a type as a mask on both sides: times log2 e it is no float. Columns between others, whole slices,
// whole rows; and numbers that are nearly as low.
TEST_P(DeviceRowPartials, TheLowestNumbersAreMasks) {
  const DType dtype = GetParam();
  constexpr std::size_t kColumns = 8207;  // slices of 128 columns: whole chunks, and ends
  const float lowest = lowest_of(dtype), low = rounded({-1e35f}, dtype)[0];
  const TwoRows rows(kColumns, dtype, 1e-3);
  std::vector<std::vector<float>> a(6, rows.policy[0]), b(6, rows.reference[0]);
  const auto mask = [&](std::size_t row, std::size_t first, std::size_t step, float value) {
    for (std::size_t i = first; i < kColumns; i += step) a[row][i] = b[row][i] = value;
  };
  mask(0, 3, 7, lowest);
  mask(1, 50, 1, lowest);
  mask(2, 0, 1, lowest);
  mask(3, 0, 1, low);
  mask(4, 0, 1, -HUGE_VALF);
  mask(4, 8100, 50, low);
  mask(5, 3, 501, lowest);
  b[5][4] += 8.0f;  // no near column
  b[5] = rounded(b[5], dtype);
  const DeviceMatrix policy(a, dtype), reference(b, dtype);
  const Result got = run(policy, reference, kColumns, 1, {});
  for (std::size_t row = 0; row < a.size(); ++row) {
    const TokenStats stats = finish(got.core[row], false);
    if (row < 2 || row > 4) {
      expect_bars<float>(stats, oracle<float>(a[row], b[row]), "row " + std::to_string(row));
      continue;
    }
    const double equal = row == 4 ? 3.0 : kColumns;  // columns, and nothing else; the oracle's subtraction loses them
    EXPECT_EQ(stats.kl_reverse, 0.0) << row;
    EXPECT_EQ(stats.kl_forward, 0.0) << row;
    EXPECT_NEAR(stats.entropy_policy, std::log(equal), 5e-7 * std::log(equal)) << row;
    EXPECT_NEAR(stats.entropy_reference, std::log(equal), 5e-7 * std::log(equal)) << row;
  }
  EXPECT_TRUE(same_bits(run(policy, reference, kColumns, 8, {}), got));
  EXPECT_TRUE(same_bits(run(DeviceMatrix(a, dtype, 3, 2), DeviceMatrix(b, dtype, 1, 6), kColumns, 1, {}), got));
}

// What lanes multiply, or read as two types, within the bars; and its bits in parts, at odd addresses.
struct LaneCase {
  DType policy, reference;
  double policy_scale, reference_scale;
};

class DeviceLanes : public ::testing::TestWithParam<LaneCase> {};

template <typename T>
std::vector<double> scaled_by(const std::vector<T>& x, double scale) {
  std::vector<double> y;
  for (const T v : x) y.push_back(static_cast<double>(v) * scale);
  return y;
}

TEST_P(DeviceLanes, MeetTheBarsOnHardRows) {
  const LaneCase lanes = GetParam();
  constexpr std::size_t kColumns = 1237;
  std::vector<std::vector<float>> policy, reference;
  std::vector<std::string> names;
  for (const auto& pair : RowFactory<float>(kColumns, 7).adversarial()) {
    names.push_back(pair.name);
    policy.push_back(rounded(pair.policy, lanes.policy));
    reference.push_back(rounded(pair.reference, lanes.reference));
  }
  const Options options{.policy_scale = lanes.policy_scale, .reference_scale = lanes.reference_scale};
  const DeviceMatrix a(policy, lanes.policy), b(reference, lanes.reference);
  const Result got = run(a, b, kColumns, 1, options);
  for (std::size_t row = 0; row < names.size(); ++row) {
    const auto want = oracle<double>(scaled_by(policy[row], lanes.policy_scale), scaled_by(reference[row], lanes.reference_scale));
    expect_bars<float>(finish(got.core[row], false), want, names[row]);
  }
  EXPECT_TRUE(same_bits(run(a, b, kColumns, 8, options), got));
  EXPECT_TRUE(same_bits(run(DeviceMatrix(policy, lanes.policy, 3, 2), DeviceMatrix(reference, lanes.reference, 1, 6), kColumns, 1, options), got));
}

// Lanes put fp64 algebra on fp32 sums: what they make of small differences shows that no side was scaled alone.
TEST_P(DeviceLanes, SmallDivergences) {
  const LaneCase lanes = GetParam();
  constexpr std::size_t kColumns = 4111;
  for (const double noise : {1e-5, 1e-2}) {
    const auto pair = RowFactory<float>(kColumns, 3).noisy(noise, 3.0, 0.0);
    const auto a = rounded(pair.policy, lanes.policy), b = rounded(pair.reference, lanes.reference);
    const Options options{.policy_scale = lanes.policy_scale, .reference_scale = lanes.reference_scale};
    const Result got = run(DeviceMatrix({a}, lanes.policy), DeviceMatrix({b}, lanes.reference), kColumns, 1, options);
    const auto want = oracle<double>(scaled_by(a, lanes.policy_scale), scaled_by(b, lanes.reference_scale));
    expect_bars<float>(finish(got.core[0], false), want, "noise " + std::to_string(noise));
  }
}

INSTANTIATE_TEST_SUITE_P(Scales, DeviceLanes,
                         ::testing::Values(LaneCase{DType::bf16, DType::bf16, 0.7, 0.7}, LaneCase{DType::f16, DType::f16, 2.5, 2.5},
                                           LaneCase{DType::f32, DType::f32, 1.3, 1.3}, LaneCase{DType::bf16, DType::bf16, 0.7, 1.0},
                                           LaneCase{DType::f32, DType::f32, 1.0, 0.9}));
INSTANTIATE_TEST_SUITE_P(Types, DeviceLanes,
                         ::testing::Values(LaneCase{DType::bf16, DType::f32, 1.0, 1.0}, LaneCase{DType::f32, DType::bf16, 1.0, 1.0},
                                           LaneCase{DType::f16, DType::f32, 1.0, 1.0}, LaneCase{DType::f32, DType::f16, 0.8, 0.8}));

// What the lanes of fp32 do not take: f64, f16 beside bf16, scales that are no moderate ones. The CPU's numbers, both
// being fp64 throughout.
TEST(DeviceRowPartialsInFp64, AreTheCpus) {
  constexpr std::size_t kColumns = 803;
  TwoRows rows(kColumns, DType::bf16, 0.05);
  for (auto* side : {&rows.policy, &rows.reference}) {
    for (std::vector<float>& row : *side) {
      for (float& x : row) x = std::fabs(x) < 1e-3f ? 0.0f : x;  // the others are numbers of every type
    }
  }
  struct Case {
    DType policy, reference;
    double policy_scale, reference_scale;
  };
  const VocabShard shard = vocab_shard(kColumns, 0, 1);
  for (const Case& c : {Case{DType::f64, DType::f64, 1.0, 1.0}, Case{DType::f64, DType::f64, 0.7, 0.9},
                        Case{DType::f64, DType::f32, 0.7, 0.7}, Case{DType::f16, DType::f64, 1.0, 0.7},
                        Case{DType::f16, DType::bf16, 0.7, 0.7}, Case{DType::bf16, DType::f16, 1.0, 1.0},
                        Case{DType::f32, DType::f32, 0x1p-12, 1.0}}) {
    const Options options{.policy_scale = c.policy_scale, .reference_scale = c.reference_scale, .targets = {4, 802},
                          .extended = true, .renyi_alpha = 0.5};
    const Result got = run(DeviceMatrix(rows.policy, c.policy), DeviceMatrix(rows.reference, c.reference), kColumns, 1, options);
    for (std::size_t row = 0; row < 2; ++row) {
      RowPartial core;
      ExtendedPartial extended;
      LogitsView a = logits_view(rows.policy[row].data(), 1, kColumns), b = logits_view(rows.reference[row].data(), 1, kColumns);
      a.scale = c.policy_scale;
      b.scale = c.reference_scale;
      cpu::row_partials(a, b, shard, {.targets = {&options.targets[row], 1}, .mask = {}, .sequence = {}}, {&core, 1},
                        {&extended, 1}, 0.5);
      TokenStats want = finish(core, true), have = finish(got.core[row], true);
      finish_extended(extended, want);
      finish_extended(got.extended[row], have);
      EXPECT_NEAR(have.kl_reverse, want.kl_reverse, 1e-9 * want.kl_reverse);
      EXPECT_NEAR(have.kl_forward, want.kl_forward, 1e-9 * want.kl_forward);
      EXPECT_NEAR(have.logp_policy, want.logp_policy, 1e-11);
      EXPECT_NEAR(have.k1, want.k1, 1e-11);
      EXPECT_NEAR(have.chi_square, want.chi_square, 1e-11 * std::max(1.0, want.chi_square));
      EXPECT_NEAR(have.chi_square_reference_policy, want.chi_square_reference_policy,
                  1e-11 * std::max(1.0, want.chi_square_reference_policy));
      EXPECT_NEAR(have.hellinger, want.hellinger, 1e-11);
      EXPECT_EQ(have.same_top, want.same_top);
      EXPECT_NEAR(got.extended[row].renyi.log(), extended.renyi.log(), 1e-11);
    }
  }
}

TEST(DeviceRowPartialsInFp64, FollowRowLists) {
  const TwoRows rows(200, DType::f32);
  const DeviceMatrix a(rows.policy, DType::f32), b(rows.reference, DType::f32);
  const DeviceArray<std::int64_t> order(std::vector<std::int64_t>{1, 0});
  LogitsView left = a.view(0, 200), right = b.view(0, 200);
  const Result plain = run_part(left, right, vocab_shard(200, 0, 1), {});
  left.row_index = right.row_index = order.span();
  const Result listed = run_part(left, right, vocab_shard(200, 0, 1), {});
  for (const std::size_t row : {0u, 1u}) {
    EXPECT_EQ(std::memcmp(&plain.core[row], &listed.core[1 - row], sizeof(RowPartial)), 0);
  }
}

TEST(DeviceRowPartialsInFp64, RefusesTheHostsStreamAndASmallWorkspace) {
  const LogitsView none{nullptr, DType::f32, 0, 8, 8};
  EXPECT_THROW(cuda::row_partials(none, none, vocab_shard(8, 0, 1), {}, {}, {}, kNoRenyi, {}, host_stream), InvalidArgument);
  const TestStream stream;
  const LogitsView some{nullptr, DType::f32, 3, 8, 8};
  EXPECT_THROW(cuda::row_partials(some, some, vocab_shard(8, 0, 1), {}, {}, {}, kNoRenyi, {}, stream.ref()), InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Types, DeviceRowPartials, ::testing::Values(DType::f32, DType::bf16, DType::f16));

}  // namespace
}  // namespace klmesh::test
