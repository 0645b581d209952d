// The device's fold and finish against the CPU's: close in every value, the same bits for any number of whole subtrees.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "core/cuda/device_batch.hpp"
#include "core/cuda/finish.hpp"
#include "core/cuda/kernels.hpp"
#include "klmesh/error.hpp"
#include "klmesh/statistics.hpp"

namespace klmesh::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Packed {
  RowPartial core;
  ExtendedPartial extended;
};

// Partials of rows over some parts, (parts, block), as the CPU sums them; unused rows of a block stay NaN.
struct Parts {
  int parts;
  std::int64_t rows, block;
  std::vector<Packed> partials;
  std::vector<SecondStagePartial> second;

  Packed& at(int part, std::int64_t row) { return partials[static_cast<std::size_t>(part * block + row)]; }
};

Parts cpu_parts(const HostRows& policy, const HostRows& reference, const RowInputs& inputs, int parts, double alpha) {
  Parts p{parts, policy.rows, policy.rows + 2, {}, {}};
  Packed unused;
  unused.core.S = kNan;
  p.partials.assign(static_cast<std::size_t>(p.parts * p.block), unused);
  for (int part = 0; part < parts; ++part) {
    const VocabShard shard = vocab_shard(policy.columns, part, parts);
    std::vector<RowPartial> core(static_cast<std::size_t>(p.rows));
    std::vector<ExtendedPartial> extended(core.size());
    cpu::row_partials(from_column(policy.view(), shard.begin), from_column(reference.view(), shard.begin), shard, inputs,
                      core, extended, alpha);
    for (std::int64_t row = 0; row < p.rows; ++row) {
      const auto i = static_cast<std::size_t>(row);
      p.at(part, row) = {core[i], extended[i]};
      p.second.push_back({0.25 * part + static_cast<double>(row), 0.5 * part, 1.0 / (1 + part)});
    }
    p.second.resize(static_cast<std::size_t>((part + 1) * p.block));
  }
  return p;
}

TokenStats cpu_finish(Parts& p, std::int64_t row, bool has_target, double alpha) {
  std::vector<RowPartial> core;
  std::vector<ExtendedPartial> extended;
  for (int part = 0; part < p.parts; ++part) {
    core.push_back(p.at(part, row).core);
    extended.push_back(p.at(part, row).extended);
  }
  TokenStats token = finish(fold(core), has_target);
  finish_extended(fold(extended), token);
  finish_renyi(fold(extended), alpha, token);
  return token;
}

std::vector<TokenStats> on_device(const Parts& p, std::vector<std::int64_t> targets, std::vector<std::uint8_t> mask,
                                  bool extended, double alpha) {
  const TestStream stream;
  const DeviceArray<Packed> partials(p.partials);
  const DeviceArray<std::int64_t> targets_there(targets);
  const DeviceArray<std::uint8_t> mask_there(mask);
  const DeviceArray<TokenStats> tokens(std::vector<TokenStats>(static_cast<std::size_t>(p.rows)));
  const auto* first = reinterpret_cast<const std::byte*>(partials.data());
  const cuda::GatheredPartials gathered{.core = first,
                                        .extended = extended ? first + offsetof(Packed, extended) : nullptr,
                                        .core_stride = sizeof(Packed),
                                        .extended_stride = sizeof(Packed),
                                        .block = p.block,
                                        .parts = p.parts};
  cuda::finish(gathered, {.targets = targets_there.span(), .mask = mask_there.span(), .sequence = {}}, 0, p.rows, alpha,
               tokens.span(), stream.ref());
  return tokens.host();
}

void expect_close(const TokenStats& got, const TokenStats& want, const std::string& what) {
  for (int q = 0; q < kQuantities; ++q) {
    const auto quantity = static_cast<Quantity>(q);
    const double x = value_of(got, quantity), y = value_of(want, quantity);
    if (std::isnan(y)) {
      EXPECT_TRUE(std::isnan(x)) << what << ": " << name(quantity);
    } else if (std::isinf(y)) {
      EXPECT_EQ(x, y) << what << ": " << name(quantity);
    } else {
      EXPECT_LE(std::fabs(x - y), 1e-12 * std::fabs(y) + 1e-13) << what << ": " << name(quantity);
    }
  }
  EXPECT_EQ(got.flags, want.flags) << what;
  EXPECT_EQ(got.invalid_column, want.invalid_column) << what;
}

struct Batch {
  HostRows policy, reference;
  std::vector<std::int64_t> targets;
  std::vector<std::string> names;

  RowInputs inputs() const { return {.targets = targets, .mask = {}, .sequence = {}}; }
};

// @param every how many of them there are: all, or one of `every`
Batch hard_rows(std::size_t every = 1) {
  const auto all = RowFactory<float>(777, 7).adversarial();
  std::vector<RowPair<float>> pairs;
  for (std::size_t i = 0; i < all.size(); i += every) pairs.push_back(all[i]);
  pairs.push_back(RowFactory<float>(777, 8).noisy(0.1));
  pairs.back().name = "NaN";
  pairs.back().policy[600] = std::numeric_limits<float>::quiet_NaN();
  const RowLists<float> rows(pairs);
  Batch batch{host_rows(rows.policy, DType::f32), host_rows(rows.reference, DType::f32),
              std::vector<std::int64_t>(pairs.size(), 7), {}};
  for (const auto& pair : pairs) batch.names.push_back(pair.name);
  return batch;
}

TEST(CudaFinish, SaysWhatTheCpuSays) {
  const Batch batch = hard_rows();
  for (const int parts : {1, 3, 64}) {
    Parts p = cpu_parts(batch.policy, batch.reference, batch.inputs(), parts, 2.5);
    const std::vector<TokenStats> got = on_device(p, batch.targets, {}, true, 2.5);
    for (std::int64_t row = 0; row < p.rows; ++row) {
      expect_close(got[static_cast<std::size_t>(row)], cpu_finish(p, row, true, 2.5),
                   batch.names[static_cast<std::size_t>(row)] + ", parts " + std::to_string(parts));
    }
  }
}

// Partials as the device sums them: the merges inside a part and those over the parts use the same exponential.
Parts device_parts(const Batch& batch, int parts, double alpha) {
  Parts p{parts, batch.policy.rows, batch.policy.rows, {}, {}};
  const DeviceRows a(batch.policy), b(batch.reference);
  const DeviceArray<std::int64_t> targets(batch.targets);
  const RowInputs inputs{.targets = targets.span(), .mask = {}, .sequence = {}};
  const TestStream stream;
  for (int part = 0; part < parts; ++part) {
    const VocabShard shard = vocab_shard(batch.policy.columns, part, parts);
    const DeviceArray<RowPartial> core(static_cast<std::size_t>(p.rows));
    const DeviceArray<ExtendedPartial> extended(static_cast<std::size_t>(p.rows));
    const DeviceArray<std::byte> workspace(cuda::row_partials_workspace_bytes(p.rows, shard, true));
    cuda::row_partials(from_column(a.view(), shard.begin), from_column(b.view(), shard.begin), shard, inputs, core.span(),
                       extended.span(), alpha, workspace.span(), stream.ref());
    const std::vector<RowPartial> core_here = core.host();
    const std::vector<ExtendedPartial> extended_here = extended.host();
    for (std::size_t row = 0; row < core_here.size(); ++row) p.partials.push_back({core_here[row], extended_here[row]});
  }
  return p;
}

TEST(CudaFinish, TheSameBitsForAnyNumberOfWholeSubtrees) {
  const Batch batch = hard_rows(9);
  const auto with = [&](int parts) { return on_device(device_parts(batch, parts, 0.5), batch.targets, {}, true, 0.5); };
  const std::vector<TokenStats> want = with(1);
  for (const int parts : {2, 16}) {
    const std::vector<TokenStats> got = with(parts);
    for (std::size_t row = 0; row < want.size(); ++row) {
      for (int q = 0; q < kQuantities; ++q) {
        const double x = value_of(got[row], static_cast<Quantity>(q)), y = value_of(want[row], static_cast<Quantity>(q));
        EXPECT_TRUE(x == y || (std::isnan(x) && std::isnan(y))) << batch.names[row] << ' ' << name(static_cast<Quantity>(q));
      }
      if (!want[row].invalid_logits()) {
        EXPECT_EQ(std::memcmp(&got[row].normalizer, &want[row].normalizer, 4 * sizeof(double)), 0);
      }
    }
  }
}

TEST(CudaFinish, WithoutTargetsExtendedOrMaskedRows) {
  const Batch batch = hard_rows();
  Parts p = cpu_parts(batch.policy, batch.reference, batch.inputs(), 2, kNan);
  std::vector<std::uint8_t> mask(batch.names.size(), 1);
  mask[1] = 0;
  const std::vector<TokenStats> got = on_device(p, {}, mask, false, kNan);
  EXPECT_TRUE(std::isnan(got[0].logp_policy));
  EXPECT_TRUE(std::isnan(got[0].chi_square));
  EXPECT_TRUE(std::isnan(got[0].renyi));
  EXPECT_TRUE(std::isfinite(got[0].kl_reverse));
  const TokenStats empty;
  EXPECT_EQ(got[1].flags, 0u);
  EXPECT_EQ(got[1].kl_reverse, empty.kl_reverse);
  // Order 1 needs no extended partial.
  EXPECT_EQ(on_device(p, {}, {}, false, 1.0)[2].renyi, on_device(p, {}, {}, false, kNan)[2].kl_reverse);
}

TEST(CudaFinish, SecondStageFoldsAlongTheTreeAndLeavesOtherRowsAlone) {
  const Batch batch = hard_rows();
  for (const int parts : {1, 2, 7, 64}) {
    const Parts p = cpu_parts(batch.policy, batch.reference, batch.inputs(), parts, kNan);
    std::vector<TokenStats> tokens(static_cast<std::size_t>(p.rows));
    for (TokenStats& t : tokens) t.flags = kPolicyHasMass | kReferenceHasMass;
    tokens[2].flags |= kInvalidPolicy;
    std::vector<std::uint8_t> mask(tokens.size(), 1);
    mask[4] = 0;
    const DeviceArray<TokenStats> there(tokens);
    const DeviceArray<SecondStagePartial> gathered(p.second);
    const DeviceArray<std::uint8_t> mask_there(mask);
    const TestStream stream;
    // A range that does not begin at 0: its first row is the first of each part.
    cuda::finish_second_stage(gathered.span(), parts, {.targets = {}, .mask = mask_there.span(), .sequence = {}}, 1, 9,
                              there.span(), stream.ref());
    const std::vector<TokenStats> got = there.host();
    for (std::size_t row = 0; row < got.size(); ++row) {
      SecondStagePartial want;
      if (row >= 1 && row < 9 && row != 2 && row != 4) {
        std::vector<SecondStagePartial> of_parts;
        for (int part = 0; part < parts; ++part) of_parts.push_back(p.second[static_cast<std::size_t>(part * p.block) + row - 1]);
        want = fold(std::span<const SecondStagePartial>(of_parts));
      }
      EXPECT_EQ(got[row].jensen_shannon, want.jensen_shannon) << row;
      EXPECT_EQ(got[row].total_variation, want.total_variation) << row;
      EXPECT_EQ(got[row].normalizer.kl_policy_mixture, want.kl_policy_mixture) << row;
    }
  }
}

TEST(CudaFinish, RefusesAHostStreamAndTooManyParts) {
  const TestStream stream;
  EXPECT_THROW(cuda::finish({}, {}, 0, 0, kNan, {}, host_stream), InvalidArgument);
  EXPECT_THROW(cuda::finish({.parts = 65}, {}, 0, 0, kNan, {}, stream.ref()), InvalidArgument);
  EXPECT_THROW(cuda::finish_second_stage({}, 0, {}, 0, 0, {}, stream.ref()), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::test
