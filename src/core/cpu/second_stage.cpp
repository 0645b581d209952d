// Jensen-Shannon and total variation: they need both normalisers first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/second_stage.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target

#include "core/cpu/decode.hpp"
#include "core/cpu/vector_math-inl.h"
#include "core/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// With p the larger and q = p r the smaller of pi and ref, a column's share of Jensen-Shannon is
// p (-(1 + r) log((1 + r) / 2) + r log r) / 2, which is p log 2 / 2 where one side has no mass, and its share of
// total variation is p (1 - r) / 2.
template <typename T, bool kScaled>
SecondStagePartial second_stage_slice(const T* a, const T* b, std::int64_t columns, const Scales& scales,
                                      const RowNormalizer& row) {
  const D d;
  const V minus_infinity = hn::Set(d, -HUGE_VAL);
  const V one = hn::Set(d, 1.0);
  const V half = hn::Set(d, 0.5);
  const V lse = hn::Set(d, row.lse_policy);
  const V difference = hn::Set(d, row.lse_difference);
  const V lse_reference = hn::Set(d, row.lse_policy + row.lse_difference);
  V jensen_shannon = hn::Zero(d), total_variation = hn::Zero(d);
  for_each_vector(a, b, columns, [&](V va, V vb) KLMESH_INLINE_LAMBDA {
    const Mask in_policy = hn::Gt(va, minus_infinity);
    const Mask both = hn::And(in_policy, hn::Gt(vb, minus_infinity));
    const Scaled sa = scale<kScaled>(d, va, scales.policy);
    const Scaled sb = scale<kScaled>(d, vb, scales.reference);
    const V log_ratio = hn::IfThenElse(both, centred_difference<T, kScaled>(d, sa, sb, hn::Zero(d), difference), minus_infinity);
    const V log_policy = hn::Sub(sa.high, lse);
    const V log_reference = hn::Sub(sb.high, lse_reference);
    const V larger = exp_any(d, hn::IfThenElse(in_policy, hn::Max(log_policy, log_reference), log_reference));
    const V log_r = hn::IfThenElse(both, hn::Neg(hn::Abs(log_ratio)), minus_infinity);
    const V r = exp_any(d, log_r);
    const V log_mean = hn::Log(d, hn::Mul(half, hn::Add(one, r)));
    const V r_log_r = hn::IfThenElseZero(hn::Gt(r, hn::Zero(d)), hn::Mul(r, log_r));
    const V share = hn::NegMulAdd(hn::Add(one, r), log_mean, r_log_r);
    jensen_shannon = hn::MulAdd(larger, hn::Max(share, hn::Zero(d)), jensen_shannon);
    total_variation = hn::MulAdd(larger, hn::Sub(one, r), total_variation);
  });
  return {0.5 * hn::GetLane(hn::SumOfLanes(d, jensen_shannon)), 0.5 * hn::GetLane(hn::SumOfLanes(d, total_variation))};
}

template <typename T, bool kScaled>
void second_stage_of(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                     const RowInputs& inputs, std::span<const TokenStats> tokens,
                     std::span<SecondStagePartial> partials) {
  SliceReader<T> policy_reader(policy), reference_reader(reference);
  const Scales scales{policy.scale, reference.scale};
  for (std::int64_t row = 0; row < policy.rows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    partials[i] = {};
    if (!inputs.counts(row) || tokens[i].invalid_logits()) continue;
    SecondStagePartial slices[kVocabSlices];
    std::size_t count = 0;
    for (int slice = shard.first_slice; slice < shard.last_slice; ++slice, ++count) {
      const std::int64_t begin = slice_begin(shard.vocab_size, slice);
      const std::int64_t columns = slice_begin(shard.vocab_size, slice + 1) - begin;
      if (columns == 0) continue;
      slices[count] = second_stage_slice<T, kScaled>(policy_reader.read(row, begin - shard.begin, columns),
                                                     reference_reader.read(row, begin - shard.begin, columns),
                                                     columns, scales, tokens[i].normalizer);
    }
    partials[i] = fold(std::span<const SecondStagePartial>(slices, count));
  }
}

void second_stage_f32(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                      const RowInputs& inputs, std::span<const TokenStats> tokens,
                      std::span<SecondStagePartial> partials) {
  const bool scaled = Scales{policy.scale, reference.scale}.any();
  (scaled ? second_stage_of<float, true> : second_stage_of<float, false>)(policy, reference, shard, inputs, tokens,
                                                                          partials);
}
void second_stage_f64(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                      const RowInputs& inputs, std::span<const TokenStats> tokens,
                      std::span<SecondStagePartial> partials) {
  const bool scaled = Scales{policy.scale, reference.scale}.any();
  (scaled ? second_stage_of<double, true> : second_stage_of<double, false>)(policy, reference, shard, inputs, tokens,
                                                                            partials);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace klmesh::cpu {

HWY_EXPORT(second_stage_f32);
HWY_EXPORT(second_stage_f64);

void second_stage(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<const TokenStats> tokens,
                  std::span<SecondStagePartial> partials) {
  if (policy.dtype == DType::f64 || reference.dtype == DType::f64) {
    HWY_DYNAMIC_DISPATCH(second_stage_f64)(policy, reference, shard, inputs, tokens, partials);
  } else {
    HWY_DYNAMIC_DISPATCH(second_stage_f32)(policy, reference, shard, inputs, tokens, partials);
  }
}

}  // namespace klmesh::cpu
#endif
