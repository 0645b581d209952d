#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/row_partials.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target

#include "core/cpu/decode.hpp"
#include "core/cpu/slice_extended-inl.h"
#include "core/cpu/slice_partial-inl.h"
#include "core/fold.hpp"
#include "core/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

struct BothPartials {
  RowPartial core;
  ExtendedPartial extended;
};

// Folds the slices of one row.
template <typename T, bool kScaled>
BothPartials fold_row(SliceReader<T>& policy, SliceReader<T>& reference, std::int64_t row, const VocabShard& shard,
                      const Scales& scales, bool with_extended) {
  RowPartial core[kVocabSlices];
  ExtendedPartial extended[kVocabSlices];
  std::size_t count = 0;
  for (int slice = shard.first_slice; slice < shard.last_slice; ++slice, ++count) {
    const std::int64_t begin = slice_begin(shard.vocab_size, slice);
    const std::int64_t columns = slice_begin(shard.vocab_size, slice + 1) - begin;
    if (columns == 0) continue;
    const T* a = policy.read(row, begin - shard.begin, columns);
    const T* b = reference.read(row, begin - shard.begin, columns);
    core[count] = slice_partial<T, kScaled>(a, b, begin, columns, scales);
    const bool valid = (core[count].flags & (kInvalidPolicy | kInvalidReference)) == 0;
    if (with_extended && valid) extended[count] = slice_extended<T, kScaled>(a, b, begin, columns, scales);
  }
  return {fold(std::span<const RowPartial>(core, count)),
          with_extended ? fold(std::span<const ExtendedPartial>(extended, count)) : ExtendedPartial{}};
}

// Adds what the row's target is, and its logits if this shard holds it.
template <typename T>
void add_target(SliceReader<T>& policy, SliceReader<T>& reference, std::int64_t row, std::int64_t target,
                const VocabShard& shard, const Scales& scales, RowPartial& p) {
  if (target < 0 || target >= shard.vocab_size) {
    p.flags |= kTargetOutOfRange;
  } else if (shard.contains(target)) {
    p.flags |= kHasTarget;
    p.target_policy = scales.policy * static_cast<double>(*policy.read(row, target - shard.begin, 1));
    p.target_reference = scales.reference * static_cast<double>(*reference.read(row, target - shard.begin, 1));
  }
}

template <typename T, bool kScaled>
void row_partials_of(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                     const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended) {
  SliceReader<T> policy_reader(policy), reference_reader(reference);
  const Scales scales{policy.scale, reference.scale};
  for (std::int64_t row = 0; row < policy.rows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    BothPartials both;
    if (inputs.counts(row)) {
      both = fold_row<T, kScaled>(policy_reader, reference_reader, row, shard, scales, !extended.empty());
      if (!inputs.targets.empty()) {
        add_target(policy_reader, reference_reader, row, inputs.targets[i], shard, scales, both.core);
      }
    }
    partials[i] = both.core;
    if (!extended.empty()) extended[i] = both.extended;
  }
}

void row_partials_f32(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                      const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended) {
  const bool scaled = Scales{policy.scale, reference.scale}.any();
  (scaled ? row_partials_of<float, true> : row_partials_of<float, false>)(policy, reference, shard, inputs, partials,
                                                                          extended);
}
void row_partials_f64(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                      const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended) {
  const bool scaled = Scales{policy.scale, reference.scale}.any();
  (scaled ? row_partials_of<double, true> : row_partials_of<double, false>)(policy, reference, shard, inputs,
                                                                            partials, extended);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace klmesh::cpu {

HWY_EXPORT(row_partials_f32);
HWY_EXPORT(row_partials_f64);

void row_partials(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended) {
  if (policy.dtype == DType::f64 || reference.dtype == DType::f64) {
    HWY_DYNAMIC_DISPATCH(row_partials_f64)(policy, reference, shard, inputs, partials, extended);
  } else {
    HWY_DYNAMIC_DISPATCH(row_partials_f32)(policy, reference, shard, inputs, partials, extended);
  }
}

}  // namespace klmesh::cpu
#endif
