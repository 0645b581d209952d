#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/gradient.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target

#include <vector>

#include "core/cpu/decode.hpp"
#include "core/cpu/gradient_weights.hpp"
#include "core/cpu/mixture-inl.h"
#include "core/cpu/vector_math-inl.h"
#include "core/kernels.hpp"
#if HWY_TARGET != HWY_SCALAR
#include "core/cpu/gradient_float-inl.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// pi (s_r (-l - KL) - s_e (log pi + H) - s_l - s_j/2 (log(m / pi) + KL[pi || m])) + s_f (pi - ref), with l = log(ref / pi)
// taken from the centred difference and m = (pi + ref) / 2; times the policy's scale, for the logits in memory. The
// target's + s_l is added by the caller.
template <typename T, bool kScaled>
HWY_INLINE V gradient_vector(D d, V a, V b, const Scales& scales, const RowWeights& w) {
  const V minus_infinity = hn::Set(d, -HUGE_VAL);
  const Mask in_policy = hn::Gt(a, minus_infinity);
  const Mask both = hn::And(in_policy, hn::Gt(b, minus_infinity));
  const V zero = hn::Zero(d);
  const V lse = hn::Set(d, w.normalizer.lse_policy);
  const V difference = hn::Set(d, w.normalizer.lse_difference);
  const Scaled sa = scale<kScaled>(d, a, scales.policy);
  const Scaled sb = scale<kScaled>(d, b, scales.reference);
  const V log_pi = hn::Sub(sa.high, lse);
  const V pi = exp_any(d, log_pi);
  const V log_ratio = hn::IfThenElse(both, centred_difference<T, kScaled>(d, sa, sb, hn::Zero(d), difference), zero);

  V factor = hn::Set(d, w.constant);
  factor = hn::NegMulAdd(hn::Set(d, w.kl_reverse), log_ratio, factor);
  factor = hn::NegMulAdd(hn::Set(d, w.entropy), hn::IfThenElse(in_policy, log_pi, zero), factor);
  if (w.half_jensen_shannon != 0.0) {
    const V over_policy = log_mixture_over_policy(d, hn::IfThenElse(both, log_ratio, minus_infinity));
    factor = hn::NegMulAdd(hn::Set(d, w.half_jensen_shannon), over_policy, factor);
  }
  V g = hn::Mul(pi, factor);
  if (w.kl_forward != 0.0) {
    const Mask near = hn::And(both, hn::Lt(hn::Abs(log_ratio), hn::Set(d, kNear)));
    const V near_ratio = hn::IfThenElseZero(near, log_ratio);
    const V near_excess = hn::Neg(hn::Mul(pi, hn::Add(expm1_minus(d, near_ratio), near_ratio)));
    const V log_ref = hn::Sub(hn::Sub(sb.high, lse), difference);
    const V excess = hn::IfThenElse(near, near_excess, hn::Sub(pi, exp_any(d, log_ref)));
    g = hn::MulAdd(hn::Set(d, w.kl_forward), excess, g);
  }
  return kScaled ? hn::Mul(hn::Set(d, scales.policy), g) : g;
}

// One slice of one row, in f32; `out` may be the slice of the policy logits itself.
template <typename T, bool kScaled>
HWY_INLINE void gradient_slice(const T* a, const T* b, std::int64_t columns, const Scales& scales, const RowWeights& w,
                               bool accumulate, float* out) {
  const D d;
  const hn::Rebind<float, D> df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto step = [&](const T* pa, const T* pb, float* po) KLMESH_INLINE_LAMBDA {
    const V g = gradient_vector<T, kScaled>(d, load(d, pa), load(d, pb), scales, w);
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

// d log pi(y) / d a_y = 1 - pi_y: the target's own column is formed in fp64 and rounded once.
template <typename T, bool kScaled>
float target_gradient(T a, T b, const Scales& scales, const RowWeights& w, double before) {
  const D d;
  const V g = gradient_vector<T, kScaled>(d, hn::Set(d, static_cast<double>(a)), hn::Set(d, static_cast<double>(b)),
                                          scales, w);
  return static_cast<float>(scales.policy * w.logp + hn::GetLane(g) + before);
}

// Where one row's gradient goes, a slice at a time: straight to f32 memory, or through a buffer to 16 bits.
class RowOutput {
 public:
  RowOutput(const GradientView& view, std::int64_t row, std::vector<float>& buffer)
      : view_(view), at_(static_cast<char*>(view.data) +
                         row * view.row_stride * static_cast<std::int64_t>(dtype_bytes(view.dtype))),
        buffer_(buffer) {}

  float* slice(std::int64_t offset, std::int64_t columns) {
    if (view_.dtype == DType::f32) return reinterpret_cast<float*>(at_) + offset;
    buffer_.resize(static_cast<std::size_t>(columns));
    return buffer_.data();
  }
  void commit(std::int64_t offset, std::int64_t columns) {
    if (view_.dtype == DType::f32) return;
    encode(buffer_.data(), columns, view_.dtype, at_ + offset * static_cast<std::int64_t>(dtype_bytes(view_.dtype)));
  }
  void clear(std::int64_t columns) {
    if (!view_.accumulate) std::fill_n(at_, columns * static_cast<std::int64_t>(dtype_bytes(view_.dtype)), '\0');
  }

 private:
  const GradientView& view_;
  char* at_;
  std::vector<float>& buffer_;
};

// One row in fp64.
template <typename T, bool kScaled>
class DoubleGradientRows {
 public:
  DoubleGradientRows(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard, const GradientView& output)
      : policy_(policy), reference_(reference), shard_(shard), scales_{policy.scale, reference.scale}, output_(output) {}

  void write(std::int64_t row, std::int64_t target, const RowWeights& weights) {
    RowOutput out(output_, row, buffer_);
    for (int slice = shard_.first_slice; slice < shard_.last_slice; ++slice) {
      const std::int64_t begin = slice_begin(shard_.vocab_size, slice);
      const std::int64_t columns = slice_begin(shard_.vocab_size, slice + 1) - begin;
      if (columns == 0) continue;
      const T* a = policy_.read(row, begin - shard_.begin, columns);
      const T* b = reference_.read(row, begin - shard_.begin, columns);
      float* g = out.slice(begin - shard_.begin, columns);
      const bool has_target = weights.logp != 0.0 && target >= begin && target < begin + columns;
      float target_value = 0.0f;  // formed first: in place, g overwrites a
      if (has_target) {
        const std::int64_t y = target - begin;
        target_value = target_gradient<T, kScaled>(a[y], b[y], scales_, weights,
                                                   output_.accumulate ? static_cast<double>(g[y]) : 0.0);
      }
      gradient_slice<T, kScaled>(a, b, columns, scales_, weights, output_.accumulate, g);
      if (has_target) g[target - begin] = target_value;
      out.commit(begin - shard_.begin, columns);
    }
  }
  void clear(std::int64_t row) { RowOutput(output_, row, buffer_).clear(shard_.columns()); }
  /// What the target's column of this shard gets; formed before anything is written.
  float target(std::int64_t row, std::int64_t column, const RowWeights& weights, float before) {
    return target_gradient<T, kScaled>(*policy_.read(row, column, 1), *reference_.read(row, column, 1), scales_, weights,
                                       static_cast<double>(before));
  }

 private:
  SliceReader<T> policy_, reference_;
  const VocabShard& shard_;
  Scales scales_;
  const GradientView& output_;
  std::vector<float> buffer_;
};

// Calls write(row, target, weights) for every row that has a gradient, and clear(row) for the others.
template <typename Write, typename Clear>
void for_each_gradient_row(std::int64_t rows, const RowInputs& inputs, std::span<const TokenStats> tokens,
                           const RowScales& scales, Write&& write, Clear&& clear) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const TokenStats& token = tokens[static_cast<std::size_t>(row)];
    if (!inputs.counts(row) || token.invalid_logits() || token.invalid_target()) {
      clear(row);
    } else {
      write(row, inputs.targets.empty() ? -1 : inputs.targets[static_cast<std::size_t>(row)],
            row_weights(scales, token, row));
    }
  }
}

template <typename T, bool kScaled>
void gradient_of(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                 const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                 const GradientView& output) {
  DoubleGradientRows<T, kScaled> rows(policy, reference, shard, output);
  for_each_gradient_row(
      policy.rows, inputs, tokens, scales,
      [&](std::int64_t row, std::int64_t target, const RowWeights& w) { rows.write(row, target, w); },
      [&](std::int64_t row) { rows.clear(row); });
}

#if HWY_TARGET != HWY_SCALAR
// Unscaled logits that are both of type T in memory, in fp32 where the row allows it.
template <typename T, typename Out>
void gradient_in_float(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                       const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                       const GradientView& output) {
  DoubleGradientRows<float, false> rest(policy, reference, shard, output);
  const auto at = [](const LogitsView& view, std::int64_t row) {
    return static_cast<const T*>(view.data) + view.memory_row(row) * view.row_stride;
  };
  const auto write = [&](std::int64_t row, std::int64_t target, const RowWeights& w) {
    if (!FloatGradient::can(w)) return rest.write(row, target, w);
    Out* out = static_cast<Out*>(output.data) + row * output.row_stride;
    const bool has_target = w.logp != 0.0 && target >= 0 && shard.contains(target);
    const std::int64_t y = has_target ? target - shard.begin : 0;
    float before = 0.0f;
    if (has_target && output.accumulate) decode(out + y, output.dtype, 1, &before);
    const float target_value = has_target ? rest.target(row, y, w, before) : 0.0f;  // in place, the logits go
    float_gradient(FloatGradient(w), at(policy, row), at(reference, row), static_cast<std::size_t>(shard.columns()),
                   output.accumulate, out);
    if (has_target) encode(&target_value, 1, output.dtype, out + y);
  };
  for_each_gradient_row(policy.rows, inputs, tokens, scales, write, [&](std::int64_t row) { rest.clear(row); });
  hwy::FlushStream();
}

template <typename T>
void gradient_in_float_to(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                          const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                          const GradientView& output) {
  const auto run = output.dtype == DType::bf16  ? gradient_in_float<T, hwy::bfloat16_t>
                   : output.dtype == DType::f16 ? gradient_in_float<T, hwy::float16_t>
                                                : gradient_in_float<T, float>;
  run(policy, reference, shard, inputs, tokens, scales, output);
}
#endif

void gradient_f32(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                  const GradientView& output) {
  const bool scaled = Scales{policy.scale, reference.scale}.any();
#if HWY_TARGET != HWY_SCALAR
  if (!scaled && policy.dtype == reference.dtype) {
    const auto run = policy.dtype == DType::bf16  ? gradient_in_float_to<hwy::bfloat16_t>
                     : policy.dtype == DType::f16 ? gradient_in_float_to<hwy::float16_t>
                                                  : gradient_in_float_to<float>;
    return run(policy, reference, shard, inputs, tokens, scales, output);
  }
#endif
  (scaled ? gradient_of<float, true> : gradient_of<float, false>)(policy, reference, shard, inputs, tokens, scales,
                                                                  output);
}
void gradient_f64(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                  const GradientView& output) {
  const bool scaled = Scales{policy.scale, reference.scale}.any();
  (scaled ? gradient_of<double, true> : gradient_of<double, false>)(policy, reference, shard, inputs, tokens, scales,
                                                                    output);
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
  if (policy.dtype == DType::f64 || reference.dtype == DType::f64) {
    HWY_DYNAMIC_DISPATCH(gradient_f64)(policy, reference, shard, inputs, tokens, scales, output);
  } else {
    HWY_DYNAMIC_DISPATCH(gradient_f32)(policy, reference, shard, inputs, tokens, scales, output);
  }
}

}  // namespace klmesh::cpu
#endif
