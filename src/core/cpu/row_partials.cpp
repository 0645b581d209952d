#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/row_partials.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target

#include "core/cpu/slice_partial-inl.h"
#include "core/fold.hpp"
#include "core/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// Folds the slices of one row. `a`, `b`: the row's first column of this shard.
template <typename T>
RowPartial row_partial(const T* a, const T* b, const VocabShard& shard) {
  RowPartial slices[kVocabSlices];
  int count = 0;
  for (int slice = shard.first_slice; slice < shard.last_slice; ++slice) {
    const std::int64_t begin = slice_begin(shard.vocab_size, slice);
    const std::int64_t columns = slice_begin(shard.vocab_size, slice + 1) - begin;
    const std::int64_t offset = begin - shard.begin;
    slices[count++] = columns > 0 ? slice_partial(a + offset, b + offset, begin, columns) : RowPartial{};
  }
  return fold({slices, static_cast<std::size_t>(count)});
}

template <typename T>
void row_partials_of(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                     const RowInputs& inputs, std::span<RowPartial> partials) {
  const T* a = static_cast<const T*>(policy.data);
  const T* b = static_cast<const T*>(reference.data);
  for (std::int64_t row = 0; row < policy.rows; ++row) {
    RowPartial& p = partials[static_cast<std::size_t>(row)];
    p = {};
    if (!inputs.counts(row)) continue;
    const T* row_a = a + row * policy.row_stride;
    const T* row_b = b + row * reference.row_stride;
    p = row_partial(row_a, row_b, shard);
    if (inputs.targets.empty()) continue;
    const std::int64_t target = inputs.targets[static_cast<std::size_t>(row)];
    if (target < 0 || target >= shard.vocab_size) {
      p.flags |= kTargetOutOfRange;
    } else if (shard.contains(target)) {
      p.flags |= kHasTarget;
      p.target_policy = row_a[target - shard.begin];
      p.target_reference = row_b[target - shard.begin];
    }
  }
}

void row_partials_f32(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                      const RowInputs& inputs, std::span<RowPartial> partials) {
  row_partials_of<float>(policy, reference, shard, inputs, partials);
}
void row_partials_f64(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                      const RowInputs& inputs, std::span<RowPartial> partials) {
  row_partials_of<double>(policy, reference, shard, inputs, partials);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace klmesh::cpu {

HWY_EXPORT(row_partials_f32);
HWY_EXPORT(row_partials_f64);

void row_partials(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<RowPartial> partials) {
  if (policy.dtype == DType::f64) {
    HWY_DYNAMIC_DISPATCH(row_partials_f64)(policy, reference, shard, inputs, partials);
  } else {
    HWY_DYNAMIC_DISPATCH(row_partials_f32)(policy, reference, shard, inputs, partials);
  }
}

}  // namespace klmesh::cpu
#endif
