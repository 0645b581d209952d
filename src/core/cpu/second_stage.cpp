// Jensen-Shannon and total variation: they need both normalisers first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/second_stage.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target

#include "core/cpu/decode.hpp"
#include "core/cpu/mixture-inl.h"
#include "core/cpu/vector_math-inl.h"
#include "core/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// With p the larger and q = p r the smaller of pi and ref, m = p (1 + z), z = (r - 1) / 2 in [-1/2, 0]. As p + q = 2 m
// over the whole vocabulary, KL[p || m] and KL[q || m] are sums of terms that are not negative and of second order in
// z: p (z - ln(1 + z)) and p (-z - r (ln(1 + z) - ln r)). Jensen-Shannon is half of both, total variation half of
// p - q = -2 p z. Where one side has no mass r = 0, z = -1/2.
template <typename T, bool kScaled>
SecondStagePartial second_stage_slice(const T* a, const T* b, std::int64_t columns, const Scales& scales,
                                      const RowNormalizer& row) {
  const D d;
  const V minus_infinity = hn::Set(d, -HUGE_VAL);
  const V zero = hn::Zero(d);
  const V lse = hn::Set(d, row.lse_policy);
  const V difference = hn::Set(d, row.lse_difference);
  const V lse_reference = hn::Set(d, row.lse_policy + row.lse_difference);
  V twice_jensen_shannon = zero, policy_mixture = zero, total_variation = zero;
  for_each_vector(a, b, columns, [&](V va, V vb) KLMESH_INLINE_LAMBDA {
    const Mask in_policy = hn::Gt(va, minus_infinity);
    const Mask both = hn::And(in_policy, hn::Gt(vb, minus_infinity));
    const Scaled sa = scale<kScaled>(d, va, scales.policy);
    const Scaled sb = scale<kScaled>(d, vb, scales.reference);
    const V log_ratio = hn::IfThenElse(both, centred_difference<T, kScaled>(d, sa, sb, zero, difference), minus_infinity);
    const V log_policy = hn::Sub(sa.high, lse);
    const V log_reference = hn::Sub(sb.high, lse_reference);
    const V larger = exp_any(d, hn::IfThenElse(in_policy, hn::Max(log_policy, log_reference), log_reference));
    const Mask policy_is_larger = hn::AndNot(hn::Gt(log_ratio, zero), in_policy);

    const BelowLarger below = below_larger(d, log_ratio);
    const V r = hn::MulAdd(hn::Set(d, 2.0), below.excess, hn::Set(d, 1.0));
    const V r_log = hn::IfThenElseZero(both, hn::Mul(r, hn::Add(hn::Abs(log_ratio), below.log)));
    const V of_larger = hn::Mul(larger, hn::Max(zero, hn::Sub(below.excess, below.log)));
    const V of_smaller = hn::Mul(larger, hn::Max(zero, hn::Sub(hn::Neg(below.excess), r_log)));
    twice_jensen_shannon = hn::Add(twice_jensen_shannon, hn::Add(of_larger, of_smaller));
    policy_mixture = hn::Add(policy_mixture, hn::IfThenElse(policy_is_larger, of_larger, of_smaller));
    total_variation = hn::NegMulAdd(larger, below.excess, total_variation);
  });
  const auto total = [d](V v) { return hn::GetLane(hn::SumOfLanes(d, v)); };
  return {0.5 * total(twice_jensen_shannon), total(total_variation), total(policy_mixture)};
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
