// The partial of one row of 32- or 16-bit logits; compiled once per SIMD target.

#if defined(KLMESH_CORE_CPU_ROW_FLOAT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_ROW_FLOAT_INL_H
#undef KLMESH_CORE_CPU_ROW_FLOAT_INL_H
#else
#define KLMESH_CORE_CPU_ROW_FLOAT_INL_H
#endif

#include <vector>

#include "core/cpu/decode.hpp"
#include "core/cpu/slice_float-inl.h"
#include "core/fold.hpp"
#include "klmesh/vocab_shard.hpp"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

inline constexpr DType dtype_of(const float*) { return DType::f32; }
inline constexpr DType dtype_of(const hwy::bfloat16_t*) { return DType::bf16; }
inline constexpr DType dtype_of(const hwy::float16_t*) { return DType::f16; }

// Columns as fp32: the memory itself, or a decoded copy.
template <typename T>
const float* as_floats(const T* p, std::size_t columns, std::vector<float>& buffer) {
  if constexpr (sizeof(T) == sizeof(float)) return p;
  buffer.resize(columns);
  decode(p, dtype_of(p), static_cast<std::int64_t>(columns), buffer.data());
  return buffer.data();
}

// Sums the slices of one row after another. Kept from row to row for its memory.
template <typename T>
class FloatRow {
 public:
  /// @param a, b this shard's columns of the row
  RowPartial fold(const T* a, const T* b, const VocabShard& shard) {
    const auto count = static_cast<std::size_t>(shard.last_slice - shard.first_slice);
    for (std::size_t k = 0; k < count; ++k) {
      const int slice = shard.first_slice + static_cast<int>(k);
      const std::int64_t begin = slice_begin(shard.vocab_size, slice);
      begin_[k] = begin;
      pairs_[k] = {a + (begin - shard.begin), b + (begin - shard.begin),
                   static_cast<std::size_t>(slice_begin(shard.vocab_size, slice + 1) - begin)};
    }
    sum(count);
    for (std::size_t k = 0; k < count; ++k) settle(k);
    return klmesh::fold(std::span<const RowPartial>(partials_, count));
  }

 private:
  // The next slice's head is looked at before this one is summed: its latency hides there.
  void sum(std::size_t count) {
    SliceHead head{};
    if (count > 0 && pairs_[0].columns > 0) head = look_at_head(pairs_[0]);
    for (std::size_t k = 0; k < count; ++k) {
      const SliceHead this_head = head;
      if (k + 1 < count && pairs_[k + 1].columns > 0) head = look_at_head(pairs_[k + 1]);
      if (pairs_[k].columns > 0) slices_[k].sum(pairs_[k], this_head);
    }
  }

  void settle(std::size_t k) {
    const Pairs<T>& pairs = pairs_[k];
    if (pairs.columns == 0) {
      partials_[k] = {};
    } else if (HWY_UNLIKELY(!slices_[k].settle(pairs, top_scale(slices_[k].top()), partials_[k]))) {
      partials_[k] = slice_partial<float, false>(as_floats(pairs.a, pairs.columns, policy_),
                                                 as_floats(pairs.b, pairs.columns, reference_), begin_[k],
                                                 static_cast<std::int64_t>(pairs.columns), Scales{});
    }
  }

  std::int64_t begin_[kVocabSlices];
  Pairs<T> pairs_[kVocabSlices];
  FloatSlice slices_[kVocabSlices];
  RowPartial partials_[kVocabSlices];
  std::vector<float> policy_, reference_;
};

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
