#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/gradient.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target

#include <algorithm>
#include <limits>

#include "core/cpu/vector_math-inl.h"
#include "core/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// Weights of the four quantities in one row, and what the row's gradient needs of its statistics.
struct RowWeights {
  double kl_reverse, kl_forward, logp, entropy;
  RowNormalizer normalizer;
  double constant;  // what multiplies pi_v whatever v is
};

double scale_of(std::span<const double> scales, std::int64_t row) {
  return scales.empty() ? 0.0 : scales[static_cast<std::size_t>(row)];
}

RowWeights row_weights(const RowScales& scales, const TokenStats& token, std::int64_t row) {
  RowWeights w{scale_of(scales.kl_reverse, row), scale_of(scales.kl_forward, row),
               scale_of(scales.logp_policy, row), scale_of(scales.entropy_policy, row), token.normalizer, 0.0};
  // An unused quantity may be infinite; its weight of 0 must not turn that into NaN.
  if (w.kl_reverse != 0.0) w.constant -= w.kl_reverse * token.kl_reverse;
  if (w.entropy != 0.0) w.constant -= w.entropy * token.entropy_policy;
  w.constant -= w.logp;
  return w;
}

// pi (s_r (-l - KL) - s_e (log pi + H) - s_l) + s_f (pi - ref), with l = log(ref / pi) taken from the centred
// difference. The target's + s_l is added by the caller.
template <typename T>
HWY_INLINE V gradient_vector(D d, V a, V b, const RowWeights& w) {
  const V minus_infinity = hn::Set(d, -HUGE_VAL);
  const Mask in_policy = hn::Gt(a, minus_infinity);
  const Mask in_reference = hn::Gt(b, minus_infinity);
  const Mask both = hn::And(in_policy, in_reference);
  const V zero = hn::Zero(d);

  const V exponent = hn::Set(d, w.normalizer.exponent);
  const V log_sum = hn::Set(d, w.normalizer.log_sum_policy);
  const V shift = hn::Set(d, w.normalizer.log_ratio_shift);
  const V pivot = hn::Set(d, w.normalizer.pivot);
  const V log_pi = hn::Sub(above_reference(d, a, exponent), log_sum);
  const V pi = exp_any(d, log_pi);
  const V log_ratio = hn::IfThenElse(both, hn::Sub(centred_difference<T>(d, a, b, pivot), shift), zero);

  V factor = hn::Set(d, w.constant);
  factor = hn::NegMulAdd(hn::Set(d, w.kl_reverse), log_ratio, factor);
  factor = hn::NegMulAdd(hn::Set(d, w.entropy), hn::IfThenElse(in_policy, log_pi, zero), factor);
  V g = hn::Mul(pi, factor);
  if (w.kl_forward != 0.0) {
    const Mask near = hn::And(both, hn::Lt(hn::Abs(log_ratio), hn::Set(d, kNear)));
    const V near_ratio = hn::IfThenElseZero(near, log_ratio);
    const V near_difference = hn::Neg(hn::Mul(pi, hn::Add(expm1_minus(d, near_ratio), near_ratio)));
    const V log_ref = hn::Sub(hn::Sub(hn::Sub(above_reference(d, b, exponent), log_sum), pivot), shift);
    const V difference = hn::IfThenElse(near, near_difference, hn::Sub(pi, exp_any(d, log_ref)));
    g = hn::MulAdd(hn::Set(d, w.kl_forward), difference, g);
  }
  return g;
}

template <typename T>
HWY_INLINE void gradient_row(const T* a, const T* b, std::int64_t columns, const RowWeights& w, bool accumulate,
                             float* out) {
  const D d;
  const hn::Rebind<float, D> df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto step = [&](const T* pa, const T* pb, float* po) KLMESH_INLINE_LAMBDA {
    const V g = gradient_vector<T>(d, load(d, pa), load(d, pb), w);
    const V before = accumulate ? hn::PromoteTo(d, hn::LoadU(df, po)) : hn::Zero(d);
    hn::StoreU(hn::DemoteTo(df, hn::Add(g, before)), df, po);
  };
  std::int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) step(a + i, b + i, out + i);
  if (i == columns) return;
  T tail_a[kMaxLanes];
  T tail_b[kMaxLanes];
  float tail_out[kMaxLanes] = {};
  std::fill_n(tail_a, lanes, -std::numeric_limits<T>::infinity());
  std::fill_n(tail_b, lanes, -std::numeric_limits<T>::infinity());
  std::copy(a + i, a + columns, tail_a);
  std::copy(b + i, b + columns, tail_b);
  if (accumulate) std::copy(out + i, out + columns, tail_out);
  step(tail_a, tail_b, tail_out);
  std::copy(tail_out, tail_out + (columns - i), out + i);
}

template <typename T>
void gradient_of(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                 const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                 const GradientView& output) {
  for (std::int64_t row = 0; row < policy.rows; ++row) {
    float* out = output.data + row * output.row_stride;
    const TokenStats& token = tokens[static_cast<std::size_t>(row)];
    if (!inputs.counts(row) || token.invalid_logits() || token.invalid_target()) {
      if (!output.accumulate) std::fill_n(out, shard.columns(), 0.0f);
      continue;
    }
    const T* a = static_cast<const T*>(policy.data) + row * policy.row_stride;
    const T* b = static_cast<const T*>(reference.data) + row * reference.row_stride;
    const RowWeights weights = row_weights(scales, token, row);
    const std::int64_t target = inputs.targets.empty() ? -1 : inputs.targets[static_cast<std::size_t>(row)];
    const bool owns_target = weights.logp != 0.0 && shard.contains(target);
    // d log pi(y) / d a_y = 1 - pi_y: the target's own column is formed in fp64 and rounded once.
    float target_out = 0.0f;
    if (owns_target) {
      const D d;
      const std::int64_t column = target - shard.begin;
      const double g = weights.logp + hn::GetLane(gradient_vector<T>(d, hn::Set(d, static_cast<double>(a[column])),
                                                                     hn::Set(d, static_cast<double>(b[column])),
                                                                     weights));
      target_out = static_cast<float>(output.accumulate ? g + static_cast<double>(out[column]) : g);
    }
    gradient_row(a, b, shard.columns(), weights, output.accumulate, out);
    if (owns_target) out[target - shard.begin] = target_out;
  }
}

void gradient_f32(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                  const GradientView& output) {
  gradient_of<float>(policy, reference, shard, inputs, tokens, scales, output);
}
void gradient_f64(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                  const GradientView& output) {
  gradient_of<double>(policy, reference, shard, inputs, tokens, scales, output);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace klmesh::cpu {

HWY_EXPORT(gradient_f32);
HWY_EXPORT(gradient_f64);

void gradient(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
              const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
              const GradientView& output) {
  if (policy.dtype == DType::f64) {
    HWY_DYNAMIC_DISPATCH(gradient_f64)(policy, reference, shard, inputs, tokens, scales, output);
  } else {
    HWY_DYNAMIC_DISPATCH(gradient_f32)(policy, reference, shard, inputs, tokens, scales, output);
  }
}

}  // namespace klmesh::cpu
#endif
