// The device's gradient against a long double oracle on the rows that break kernels; alignments, types, places.
#include <gmock/gmock.h>

#include <limits>
#include <string>

#include "core/cuda/device_batch.hpp"
#include "core/cuda/gradient.hpp"
#include "core/oracle.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

struct Weights {
  double kl_reverse = 0, kl_forward = 0, logp = 0, entropy = 0, jensen_shannon = 0;
};

// The analytic gradient in long double, from the oracle's distributions of the logits as they are computed with.
std::vector<long double> oracle_gradient(const std::vector<double>& a, const std::vector<double>& b,
                                         std::int64_t target, Weights w) {
  const OracleRow row = oracle<double>(a, b);
  std::vector<long double> g(a.size());
  for (std::size_t v = 0; v < a.size(); ++v) {
    const long double pi = std::exp(row.log_pi[v]);
    const bool in_policy = !std::isinf(a[v]), both = in_policy && !std::isinf(b[v]);
    const long double l = row.log_ratio[v];
    if (w.kl_reverse != 0 && both) g[v] += w.kl_reverse * pi * (-l - row.kl_reverse);
    g[v] += w.kl_forward * (both && std::fabs(l) < 1 ? -pi * std::expm1(l) : pi - std::exp(row.log_ref[v]));
    g[v] += w.logp * ((static_cast<std::int64_t>(v) == target ? 1 : 0) - pi);
    if (in_policy) g[v] -= w.entropy * pi * (row.log_pi[v] + row.entropy_policy);
    if (in_policy) {
      g[v] -= w.jensen_shannon / 2 * pi * (log_mixture_over_policy(both ? l : -HUGE_VALL) + row.kl_policy_mixture);
    }
  }
  return g;
}

// A batch on host and device, its statistics by the CPU, its gradient by the device.
struct Case {
  HostRows policy, reference;
  std::vector<std::int64_t> targets;
  std::vector<std::uint8_t> mask = {};
  std::int64_t policy_offset = 0, reference_offset = 0, output_offset = 0, output_padding = 0;
  int parts = 1;
  DType output = DType::f32;
  bool accumulate = false;

  RowInputs inputs() const { return {.targets = targets, .mask = mask, .sequence = {}}; }
  std::vector<TokenStats> tokens() const { return cpu_tokens(policy, reference, inputs()); }

  // (rows, columns + output_padding) bytes of the output; 0x3f where nothing was written
  std::vector<std::byte> run(Weights w) const { return run(w, tokens()); }
  std::vector<std::byte> run(Weights w, const std::vector<TokenStats>& stats) const {
    const DeviceRows a(policy, policy_offset), b(reference, reference_offset);
    const DeviceArray<TokenStats> tokens_there(stats);
    const DeviceArray<std::int64_t> targets_there(targets);
    const DeviceArray<std::uint8_t> mask_there(mask);
    const std::int64_t stride = policy.columns + output_padding;
    const auto element = static_cast<std::int64_t>(dtype_bytes(output));
    const DeviceArray<std::byte> out(
        std::vector<std::byte>(static_cast<std::size_t>(policy.rows * stride * element), std::byte{0x3f}),
        static_cast<std::size_t>(output_offset * element));
    const RowInputs inputs_there{.targets = targets_there.span(), .mask = mask_there.span(), .sequence = {}};
    const TestStream stream;
    launch(a.view(), b.view(), inputs_there, tokens_there.span(), w,
           {out.data(), output, policy.rows, policy.columns, stride, accumulate}, stream.ref());
    return out.host();
  }

  // Part after part, each its own columns.
  void launch(const LogitsView& a, const LogitsView& b, const RowInputs& inputs, std::span<const TokenStats> stats,
              Weights w, GradientView out, StreamRef stream) const {
    const auto weight = [&](double x) {
      return DeviceArray<double>(std::vector<double>(x == 0.0 ? 0 : static_cast<std::size_t>(policy.rows), x));
    };
    const auto reverse = weight(w.kl_reverse), forward = weight(w.kl_forward), logp = weight(w.logp),
               entropy = weight(w.entropy), jensen_shannon = weight(w.jensen_shannon);
    for (int part = 0; part < parts; ++part) {
      const VocabShard shard = vocab_shard(policy.columns, part, parts);
      GradientView shard_out = out;
      shard_out.columns = shard.columns();
      shard_out.data = static_cast<std::byte*>(out.data) + shard.begin * static_cast<std::int64_t>(dtype_bytes(out.dtype));
      cuda::gradient(from_column(a, shard.begin), from_column(b, shard.begin), shard, inputs, stats,
                     {reverse.span(), forward.span(), logp.span(), entropy.span(), jensen_shannon.span()}, shard_out,
                     stream);
    }
    cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }
};

std::vector<float> floats(const std::vector<std::byte>& bytes) {
  std::vector<float> x(bytes.size() / sizeof(float));
  std::memcpy(x.data(), bytes.data(), bytes.size());
  return x;
}

void expect_gradient(const Case& c, Weights w, const std::vector<std::string>& names) {
  const std::vector<float> got = floats(c.run(w));
  for (std::int64_t row = 0; row < c.policy.rows; ++row) {
    std::vector<double> a = c.policy.numbers(row), b = c.reference.numbers(row);
    for (double& x : a) x *= c.policy.scale;
    for (double& x : b) x *= c.reference.scale;
    const OracleRow known = oracle<double>(a, b);
    const std::int64_t target = c.targets[static_cast<std::size_t>(row)];
    if (w.kl_reverse != 0 && std::isinf(known.kl_reverse)) continue;
    if (std::isinf(a[static_cast<std::size_t>(target)])) continue;  // an invalid row
    const std::vector<long double> want = oracle_gradient(a, b, target, w);
    long double largest = 0, error = 0;
    std::size_t worst = 0;
    for (std::size_t v = 0; v < want.size(); ++v) {
      const long double e = std::fabs(c.policy.scale * want[v] - got[static_cast<std::size_t>(row * c.policy.columns) + v]);
      largest = std::max(largest, std::fabs(c.policy.scale * want[v]));
      if (!(e <= error)) {
        error = e;
        worst = v;
      }
    }
    // The floor: what is left of the gradient where pi is within 1e-16 of 1 lies below the last bits of KL and H.
    EXPECT_LE(error, 2e-6L * largest + 5e-15L)
        << names[static_cast<std::size_t>(row)] << ", column " << worst << ", largest " << static_cast<double>(largest)
        << ", weights " << w.kl_reverse << ' ' << w.kl_forward << ' ' << w.logp << ' ' << w.entropy << ' '
        << w.jensen_shannon;
  }
}

std::vector<std::string> names_of(const auto& pairs) {
  std::vector<std::string> names;
  for (const auto& pair : pairs) names.push_back(pair.name);
  return names;
}

const std::vector<Weights> kEach{{.kl_reverse = 1}, {.kl_forward = 1}, {.logp = 1}, {.entropy = 1},
                                 {.jensen_shannon = 1}, {0.3, -0.2, 0.5, 0.1, 0.4}};

template <typename T>
Case hard_rows(DType dtype, std::size_t columns, std::vector<std::string>& names) {
  const auto pairs = RowFactory<T>(columns, 7).adversarial();
  const RowLists<T> rows(pairs);
  names = names_of(pairs);
  return {host_rows(rows.policy, dtype), host_rows(rows.reference, dtype),
          std::vector<std::int64_t>(pairs.size(), 7)};
}

TEST(CudaGradient, EachQuantityOnHardRowsF32) {
  std::vector<std::string> names;
  Case c = hard_rows<float>(DType::f32, 1003, names);
  c.parts = 3;
  for (const Weights w : kEach) expect_gradient(c, w, names);
}

TEST(CudaGradient, EachQuantityOnHardRowsF64) {
  std::vector<std::string> names;
  const Case c = hard_rows<double>(DType::f64, 515, names);
  for (const Weights w : kEach) expect_gradient(c, w, names);
}

TEST(CudaGradient, SixteenBitLogits) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    RowFactory<float> factory(777, 3);
    const std::vector<RowPair<float>> pairs{factory.noisy(1e-2), factory.noisy(1.0), factory.top_moved(-20)};
    const RowLists<float> rows(pairs);
    const Case c{host_rows(rows.policy, dtype), host_rows(rows.reference, dtype), {7, 0, 776}};
    for (const Weights w : kEach) expect_gradient(c, w, names_of(pairs));
  }
}

TEST(CudaGradient, ScaledLogits) {
  RowFactory<float> factory(1003, 5);
  const std::vector<RowPair<float>> pairs{factory.noisy(1e-6), factory.noisy(0.7), factory.noisy(1e-5, 3.0, 160.0)};
  const RowLists<float> rows(pairs);
  Case c{host_rows(rows.policy, DType::f32), host_rows(rows.reference, DType::f32), {0, 500, 1002}};
  c.policy.scale = c.reference.scale = 1 / 0.7;
  for (const Weights w : kEach) expect_gradient(c, w, names_of(pairs));
  c.reference.scale = 1.25;
  for (const Weights w : kEach) expect_gradient(c, w, names_of(pairs));
}

TEST(CudaGradient, AFiniteMaskStaysFiniteWhereTheScaleOverflowsIt) {
  auto pair = RowFactory<float>(64, 5).noisy(0.1);
  pair.policy[3] = pair.reference[3] = pair.policy[40] = std::numeric_limits<float>::lowest();
  const RowLists<float> rows({pair});
  for (const double scale : {0.7, 1.6}) {
    Case c{host_rows(rows.policy, DType::f32), host_rows(rows.reference, DType::f32), {5}};
    c.policy.scale = c.reference.scale = scale;
    for (const Weights w : kEach) expect_gradient(c, w, {"masked"});
  }
}

// The bits depend neither on where the three lie in memory, nor on what they are cut into.
TEST(CudaGradient, BitsDoNotDependOnAlignmentStrideOrParts) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    RowFactory<float> factory(2061, 3);
    const RowLists<float> rows({factory.noisy(0.7), factory.noisy(1e-3)});
    Case c{host_rows(rows.policy, dtype), host_rows(rows.reference, dtype), {7, 2060}};
    const std::vector<TokenStats> tokens = c.tokens();
    const std::vector<std::byte> want = c.run(kEach.back(), tokens);
    for (std::int64_t offset = 1; offset < 9; ++offset) {
      c.policy = host_rows(rows.policy, dtype, offset % 5);
      c.reference = host_rows(rows.reference, dtype, offset % 3);
      c.policy_offset = offset;
      c.reference_offset = offset % 2 == 0 ? offset : 2 * offset;
      c.output_offset = offset % 3 == 0 ? offset : 5 * offset;
      c.parts = static_cast<int>(offset);
      EXPECT_EQ(c.run(kEach.back(), tokens), want) << offset;
    }
  }
}

TEST(CudaGradient, OutputTypesAreTheRoundedNumbersAndPaddingIsLeftAlone) {
  RowFactory<float> factory(301, 3);
  const RowLists<float> rows({factory.noisy(0.7), factory.noisy(0.7)});
  Case c{host_rows(rows.policy, DType::bf16), host_rows(rows.reference, DType::f32), {7, 300}};
  const std::vector<float> exact = floats(c.run(kEach.back()));
  c.output_padding = 3;
  for (const DType dtype : {DType::bf16, DType::f16}) {
    c.output = dtype;
    const std::vector<std::byte> got = c.run(kEach.back());
    std::vector<std::byte> want(got.size(), std::byte{0x3f});
    for (std::int64_t row = 0; row < 2; ++row) cpu::encode(exact.data() + row * 301, 301, dtype, want.data() + row * 304 * 2);
    EXPECT_EQ(got, want);
  }
}

TEST(CudaGradient, Accumulates) {
  RowFactory<float> factory(1003, 3);
  const RowLists<float> rows({factory.noisy(0.7)});
  Case c{host_rows(rows.policy, DType::f32), host_rows(rows.reference, DType::f32), {7}};
  const std::vector<float> fresh = floats(c.run(kEach.back()));
  c.accumulate = true;
  const std::vector<float> added = floats(c.run(kEach.back()));
  float before;
  std::memset(&before, 0x3f, sizeof before);
  for (std::size_t v = 0; v < fresh.size(); ++v) EXPECT_FLOAT_EQ(added[v], fresh[v] + before);
}

TEST(CudaGradient, WorksInPlaceAndFollowsRowLists) {
  RowFactory<float> factory(1003, 3);
  const RowLists<float> rows({factory.noisy(0.7), factory.noisy(0.5), factory.noisy(1e-3)});
  const Case c{host_rows(rows.policy, DType::bf16), host_rows(rows.reference, DType::bf16), {7, 8, 1002}};
  const std::vector<TokenStats> tokens = c.tokens();
  Case to_bf16 = c;
  to_bf16.output = DType::bf16;
  const std::vector<std::byte> want = to_bf16.run(kEach.back(), tokens);

  const DeviceRows a(c.policy), b(c.reference);
  const DeviceArray<TokenStats> tokens_there(tokens);
  const DeviceArray<std::int64_t> targets(c.targets);
  const RowInputs inputs{.targets = targets.span(), .mask = {}, .sequence = {}};
  const TestStream stream;
  c.launch(a.view(), b.view(), inputs, tokens_there.span(), kEach.back(), {a.data(), DType::bf16, 3, 1003, 1003, false},
           stream.ref());
  EXPECT_EQ(a.bytes(), want);

  // Memory rows in another order; the output's are the positions'.
  const RowLists<float> shuffled({{"", rows.policy[1], rows.reference[2]}, {"", rows.policy[2], rows.reference[0]},
                                  {"", rows.policy[0], rows.reference[1]}});
  const DeviceRows sa(host_rows(shuffled.policy, DType::bf16)), sb(host_rows(shuffled.reference, DType::bf16));
  const DeviceArray<std::int64_t> policy_list(std::vector<std::int64_t>{2, 0, 1}), reference_list(std::vector<std::int64_t>{1, 2, 0});
  const DeviceArray<std::byte> out(want.size());
  LogitsView va = sa.view(), vb = sb.view();
  va.row_index = policy_list.span();
  vb.row_index = reference_list.span();
  c.launch(va, vb, inputs, tokens_there.span(), kEach.back(), {out.data(), DType::bf16, 3, 1003, 1003, false}, stream.ref());
  EXPECT_EQ(out.host(), want);
}

TEST(CudaGradient, MaskedAndInvalidRowsAreZeroWhateverTheyHold) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), gone = -std::numeric_limits<float>::infinity();
  std::vector<std::vector<float>> a(4, std::vector<float>(40, 1.0f));
  a[0].assign(40, nan);
  a[1][5] = nan;
  a[2][7] = gone;  // the target has no probability
  const HostRows rows = host_rows(a, DType::f32);
  Case c{rows, rows, {7, 7, 7, 7}, {0, 1, 1, 1}};
  const std::vector<float> got = floats(c.run({.logp = 1}));
  EXPECT_THAT(std::vector<float>(got.begin(), got.begin() + 120), ::testing::Each(0.0f));
  EXPECT_NEAR(got[127], 1 - 1.0 / 40, 1e-6);
  c.accumulate = true;
  const std::vector<std::byte> added = c.run({.logp = 1});
  EXPECT_THAT(std::vector<std::byte>(added.begin(), added.begin() + 480), ::testing::Each(std::byte{0x3f}));
}

// Long tiles: rows enough for one block to take more than one unit a thread.
TEST(CudaGradient, LongTiles) {
  constexpr std::int64_t kColumns = 20011, kRows = 210;
  RowFactory<float> factory(kColumns, 3);
  const RowPair<float> pair = factory.noisy(0.7);
  const Case one{host_rows(std::vector(1, pair.policy), DType::bf16), host_rows(std::vector(1, pair.reference), DType::bf16),
                 {kColumns - 1}};
  const std::vector<TokenStats> token = one.tokens();
  const std::vector<std::byte> want = one.run({.kl_reverse = 1, .logp = 1}, token);
  const Case many{host_rows(std::vector(kRows, pair.policy), DType::bf16),
                  host_rows(std::vector(kRows, pair.reference), DType::bf16),
                  std::vector<std::int64_t>(kRows, kColumns - 1)};
  const std::vector<std::byte> got = many.run({.kl_reverse = 1, .logp = 1}, std::vector(kRows, token[0]));
  for (std::int64_t row = 0; row < kRows; ++row) {
    EXPECT_TRUE(std::equal(want.begin(), want.end(), got.begin() + row * static_cast<std::int64_t>(want.size()))) << row;
  }
}

TEST(CudaGradient, RefusesAHostStream) {
  EXPECT_THROW(cuda::gradient({}, {}, {}, {}, {}, {}, {}, host_stream), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::test
