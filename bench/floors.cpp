#include "floors.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "floors.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

std::uint64_t read_both(const void* a, const void* b, std::int64_t bytes) {
  const hn::ScalableTag<std::uint64_t> d;
  const auto* x = static_cast<const std::uint64_t*>(a);
  const auto* y = static_cast<const std::uint64_t*>(b);
  const std::size_t lanes = hn::Lanes(d), count = static_cast<std::size_t>(bytes) / sizeof(*x);
  auto p = hn::Zero(d), q = p, r = p, s = p;
  for (std::size_t i = 0; i + 2 * lanes <= count; i += 2 * lanes) {
    p = hn::Or(p, hn::LoadU(d, x + i));
    q = hn::Or(q, hn::LoadU(d, y + i));
    r = hn::Or(r, hn::LoadU(d, x + i + lanes));
    s = hn::Or(s, hn::LoadU(d, y + i + lanes));
  }
  return hn::GetLane(hn::Or(hn::Or(p, q), hn::Or(r, s)));
}

struct Two {
  V first, second;
};

HWY_INLINE Two load(D d, const float* p) { return {hn::LoadU(d, p), hn::LoadU(d, p + hn::Lanes(d))}; }
#if HWY_TARGET != HWY_SCALAR
HWY_INLINE Two load(D d, const hwy::bfloat16_t* p) {
  const hn::RebindToUnsigned<D> du;
  const hn::Repartition<std::uint16_t, D> d16;
  const auto both = hn::BitCast(du, hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(p)));
  return {hn::BitCast(d, hn::ShiftLeft<16>(both)), hn::BitCast(d, hn::And(both, hn::Set(du, 0xffff0000u)))};
}
#else
HWY_INLINE Two load(D d, const hwy::bfloat16_t* p) {
  const hn::Rebind<hwy::bfloat16_t, D> d16;
  return {hn::PromoteTo(d, hn::LoadU(d16, p)), hn::PromoteTo(d, hn::LoadU(d16, p + 1))};
}
#endif
HWY_INLINE Two load(D d, const hwy::float16_t* p) {
  const hn::Rebind<hwy::float16_t, D> d16;
  return {hn::PromoteTo(d, hn::LoadU(d16, p)), hn::PromoteTo(d, hn::LoadU(d16, p + hn::Lanes(d)))};
}

// Clamp, round by a magic number, degree-5 Horner, exponent added as an integer.
HWY_INLINE V exp2_reference(D d, V t) {
  const hn::RebindToSigned<D> di;
  const V x = hn::Max(t, hn::Set(d, -127.0f));
  const V magic = hn::Set(d, 12582912.0f);
  const V shifted = hn::Add(x, magic);
  const V f = hn::Sub(x, hn::Sub(shifted, magic));
  V p = hn::Set(d, 1.3264727e-3f);
  p = hn::MulAdd(p, f, hn::Set(d, 9.6715130e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.5507336e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.4022242e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.9314700e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}

struct TextbookSums {
  V policy, reference, policy_moment, reference_moment, reverse, forward;

  HWY_INLINE void add(D d, V a, V b) {
    const V log2e = hn::Set(d, 1.44269504f), exponent = hn::Set(d, 3.0f);
    const V ta = hn::MulSub(a, log2e, exponent), tb = hn::MulSub(b, log2e, exponent);
    const V w = exp2_reference(d, ta), v = exp2_reference(d, tb);
    const V u = hn::Sub(tb, ta);
    policy = hn::Add(policy, w);
    reference = hn::Add(reference, v);
    policy_moment = hn::MulAdd(w, ta, policy_moment);
    reference_moment = hn::MulAdd(v, tb, reference_moment);
    reverse = hn::MulAdd(w, u, reverse);
    forward = hn::MulAdd(v, u, forward);
  }
};

template <typename T>
float loop(const T* a, const T* b, std::int64_t columns) {
  const D d;
  const auto step = static_cast<std::int64_t>(2 * hn::Lanes(d));
  const V zero = hn::Zero(d);
  TextbookSums sums{zero, zero, zero, zero, zero, zero};
  for (std::int64_t i = 0; i < columns; i += step) {
    const Two va = load(d, a + i), vb = load(d, b + i);
    sums.add(d, va.first, vb.first);
    sums.add(d, va.second, vb.second);
  }
  const V normalisers = hn::Add(sums.policy, sums.reference);
  const V moments = hn::Add(sums.policy_moment, sums.reference_moment);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(normalisers, moments), hn::Add(sums.reverse, sums.forward))));
}

float reference_loop(DType dtype, const void* a, const void* b, std::int64_t columns) {
  switch (dtype) {
    case DType::bf16:
      return loop(static_cast<const hwy::bfloat16_t*>(a), static_cast<const hwy::bfloat16_t*>(b), columns);
    case DType::f16:
      return loop(static_cast<const hwy::float16_t*>(a), static_cast<const hwy::float16_t*>(b), columns);
    default:
      return loop(static_cast<const float*>(a), static_cast<const float*>(b), columns);
  }
}

std::string instruction_set() { return hwy::TargetName(HWY_TARGET); }

}  // namespace klmesh::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace klmesh::bench {

HWY_EXPORT(read_both);
HWY_EXPORT(reference_loop);
HWY_EXPORT(instruction_set);

std::uint64_t read_both(const void* a, const void* b, std::int64_t bytes) {
  return HWY_DYNAMIC_DISPATCH(read_both)(a, b, bytes);
}
float reference_loop(DType dtype, const void* a, const void* b, std::int64_t columns) {
  return HWY_DYNAMIC_DISPATCH(reference_loop)(dtype, a, b, columns);
}
std::string instruction_set() { return HWY_DYNAMIC_DISPATCH(instruction_set)(); }

}  // namespace klmesh::bench
#endif
