#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/row_partials.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target

#include <memory>

#include "core/cpu/decode.hpp"
#include "core/cpu/slice_extended-inl.h"
#include "core/cpu/slice_partial-inl.h"
#include "core/fold.hpp"
#include "core/kernels.hpp"
#if HWY_TARGET != HWY_SCALAR
#include "core/cpu/row_float-inl.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// Rows of logits, computed with as T in fp64.
template <typename T, bool kScaled>
class DoubleRows {
 public:
  DoubleRows(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard)
      : policy_(policy), reference_(reference), shard_(shard), scales_{policy.scale, reference.scale} {}

  RowPartial core(std::int64_t row) {
    return fold_slices<RowPartial>(row, [&](const T* a, const T* b, std::int64_t begin, std::int64_t columns) {
      return slice_partial<T, kScaled>(a, b, begin, columns, scales_);
    });
  }
  /// Of a row that holds neither NaN nor +inf.
  ExtendedPartial extended(std::int64_t row, double renyi_alpha) {
    return fold_slices<ExtendedPartial>(row, [&](const T* a, const T* b, std::int64_t begin, std::int64_t columns) {
      return slice_extended<T, kScaled>(a, b, begin, columns, scales_, renyi_alpha);
    });
  }
  /// Adds what the row's target is, and its logits if this shard holds it.
  void add_target(std::int64_t row, std::int64_t target, RowPartial& p) {
    if (target < 0 || target >= shard_.vocab_size) {
      p.flags |= kTargetOutOfRange;
    } else if (shard_.contains(target)) {
      p.flags |= kHasTarget;
      p.target_policy = scales_.policy * static_cast<double>(*policy_.read(row, target - shard_.begin, 1));
      p.target_reference = scales_.reference * static_cast<double>(*reference_.read(row, target - shard_.begin, 1));
    }
  }

 private:
  template <typename Partial, typename Slice>
  Partial fold_slices(std::int64_t row, Slice&& slice_of) {
    Partial slices[kVocabSlices];
    std::size_t count = 0;
    for (int slice = shard_.first_slice; slice < shard_.last_slice; ++slice, ++count) {
      const std::int64_t begin = slice_begin(shard_.vocab_size, slice);
      const std::int64_t columns = slice_begin(shard_.vocab_size, slice + 1) - begin;
      if (columns == 0) continue;
      slices[count] = slice_of(policy_.read(row, begin - shard_.begin, columns),
                               reference_.read(row, begin - shard_.begin, columns), begin, columns);
    }
    return fold(std::span<const Partial>(slices, count));
  }

  SliceReader<T> policy_, reference_;
  const VocabShard& shard_;
  Scales scales_;
};

// What row_partials() computes, row by row.
template <typename Core, typename Rest>
void compute(Core&& core, Rest&& rest, std::int64_t rows, const RowInputs& inputs, std::span<RowPartial> partials,
             std::span<ExtendedPartial> extended, double renyi_alpha) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    partials[i] = {};
    if (!extended.empty()) extended[i] = {};
    if (!inputs.counts(row)) continue;
    partials[i] = core.core(row);
    const bool valid = (partials[i].flags & (kInvalidPolicy | kInvalidReference)) == 0;
    if (!extended.empty() && valid) extended[i] = rest.extended(row, renyi_alpha);
    if (!inputs.targets.empty()) rest.add_target(row, inputs.targets[i], partials[i]);
  }
}

template <typename T, bool kScaled>
void compute_in_double(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                       const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended,
                       double renyi_alpha) {
  DoubleRows<T, kScaled> rows(policy, reference, shard);
  compute(rows, rows, policy.rows, inputs, partials, extended, renyi_alpha);
}

#if HWY_TARGET != HWY_SCALAR
// The core set of unscaled logits that are both of type T in memory, in fp32.
template <typename T>
class FloatRows {
 public:
  FloatRows(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard)
      : policy_(policy), reference_(reference), shard_(shard), row_(std::make_unique<FloatRow<T>>()) {}

  RowPartial core(std::int64_t row) { return row_->fold(at(policy_, row), at(reference_, row), shard_); }

 private:
  static const T* at(const LogitsView& view, std::int64_t row) {
    return static_cast<const T*>(view.data) + view.memory_row(row) * view.row_stride;
  }

  const LogitsView& policy_;
  const LogitsView& reference_;
  const VocabShard& shard_;
  std::unique_ptr<FloatRow<T>> row_;
};

// The same of types that differ: the narrower side is decoded.
class DecodedRows {
 public:
  DecodedRows(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard)
      : policy_(policy), reference_(reference), shard_(shard), row_(std::make_unique<FloatRow<float>>()) {}

  RowPartial core(std::int64_t row) {
    return row_->fold(policy_.read(row, 0, shard_.columns()), reference_.read(row, 0, shard_.columns()), shard_);
  }

 private:
  SliceReader<float> policy_, reference_;
  const VocabShard& shard_;
  std::unique_ptr<FloatRow<float>> row_;
};
void core_in_float(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                   const RowInputs& inputs, std::span<RowPartial> partials) {
  DoubleRows<float, false> rest(policy, reference, shard);
  const auto compute_with = [&](auto&& core) { compute(core, rest, policy.rows, inputs, partials, {}, 0.0); };
  if (policy.dtype != reference.dtype) {
    compute_with(DecodedRows(policy, reference, shard));
  } else if (policy.dtype == DType::bf16) {
    compute_with(FloatRows<hwy::bfloat16_t>(policy, reference, shard));
  } else if (policy.dtype == DType::f16) {
    compute_with(FloatRows<hwy::float16_t>(policy, reference, shard));
  } else {
    compute_with(FloatRows<float>(policy, reference, shard));
  }
}
#endif

void row_partials_f32(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                      const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended,
                      double renyi_alpha) {
  const bool scaled = Scales{policy.scale, reference.scale}.any();
#if HWY_TARGET != HWY_SCALAR  // without SIMD, fp32 gains nothing
  // The extended set has fp64 normalisers: those of fp32 sums would drown a chi square of 1e-8.
  if (!scaled && extended.empty()) {
    return core_in_float(policy, reference, shard, inputs, partials);
  }
#endif
  (scaled ? compute_in_double<float, true> : compute_in_double<float, false>)(policy, reference, shard, inputs, partials,
                                                                              extended, renyi_alpha);
}

void row_partials_f64(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                      const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended,
                      double renyi_alpha) {
  const bool scaled = Scales{policy.scale, reference.scale}.any();
  (scaled ? compute_in_double<double, true> : compute_in_double<double, false>)(policy, reference, shard, inputs,
                                                                                partials, extended, renyi_alpha);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace klmesh::cpu {

HWY_EXPORT(row_partials_f32);
HWY_EXPORT(row_partials_f64);

void row_partials(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended,
                  double renyi_alpha) {
  if (policy.dtype == DType::f64 || reference.dtype == DType::f64) {
    HWY_DYNAMIC_DISPATCH(row_partials_f64)(policy, reference, shard, inputs, partials, extended, renyi_alpha);
  } else {
    HWY_DYNAMIC_DISPATCH(row_partials_f32)(policy, reference, shard, inputs, partials, extended, renyi_alpha);
  }
}

}  // namespace klmesh::cpu
#endif
