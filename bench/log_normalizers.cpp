#include "log_normalizers.hpp"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "log_normalizers.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

constexpr double kLog2e = 1.4426950408889634;
constexpr std::int64_t kBlock = 1024;  // columns between flushes to fp64

struct Two {
  V first, second;
};

// Two vectors of columns, in whatever order: they are summed.
HWY_INLINE Two load(D d, const float* p) { return {hn::LoadU(d, p), hn::LoadU(d, p + hn::Lanes(d))}; }
#if HWY_TARGET != HWY_SCALAR
HWY_INLINE Two load(D d, const std::uint16_t* p) {
  const hn::RebindToUnsigned<D> d32;
  const hn::Repartition<std::uint16_t, D> d16;
  const auto both = hn::BitCast(d32, hn::LoadU(d16, p));
  return {hn::BitCast(d, hn::ShiftLeft<16>(both)), hn::BitCast(d, hn::And(both, hn::Set(d32, 0xffff0000u)))};
}
#else
HWY_INLINE Two load(D d, const std::uint16_t* p) {
  const hn::Rebind<std::uint16_t, D> d16;
  const hn::RebindToUnsigned<D> d32;
  return {hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, p)))),
          hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, p + 1))))};
}
#endif
// What fills up a last vector: so low that it adds nothing. -1e30, in either type.
inline void fill_up(float* p, std::size_t count) { std::fill_n(p, count, -1e30f); }
inline void fill_up(std::uint16_t* p, std::size_t count) { std::fill_n(p, count, std::uint16_t{0xf149}); }

// 2^t: round by a magic number, degree-5 Horner, exponent added as an integer; 2^-126 for all below.
HWY_INLINE V exp2(D d, V t) {
  const hn::RebindToSigned<D> di;
  const V x = hn::Max(t, hn::Set(d, -126.0f));
  const V magic = hn::Set(d, 12582912.0f);
  const V shifted = hn::Add(x, magic);
  const V f = hn::Sub(x, hn::Sub(shifted, magic));
  V p = hn::Set(d, 1.3390863e-3f);
  p = hn::MulAdd(p, f, hn::Set(d, 9.6181291e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.5503324e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.4022650e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.9314718e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}

// One side's sum of 2^(log2(e) x - exponent), and the largest x so far.
struct Side {
  double exponent = 0, sum = 0;
  float largest = -1e30f;
  V lanes, maxima;

  HWY_INLINE void begin_block(D d) {
    lanes = hn::Zero(d);
    maxima = hn::Set(d, largest);
  }
  HWY_INLINE void add(D d, Two x) {
    const V log2e = hn::Set(d, static_cast<float>(kLog2e)),
            reference = hn::Set(d, static_cast<float>(exponent));
    lanes = hn::Add(lanes, exp2(d, hn::MulSub(x.first, log2e, reference)));
    lanes = hn::Add(lanes, exp2(d, hn::MulSub(x.second, log2e, reference)));
    maxima = hn::Max(maxima, hn::Max(x.first, x.second));
  }
  // Whether the block's sum may be kept: no power came near overflow.
  HWY_INLINE bool fits(D d) {
    largest = hn::GetLane(hn::MaxOfLanes(d, maxima));
    return kLog2e * static_cast<double>(largest) - exponent < 40.0;
  }
  void raise() {
    const double larger = std::rint(kLog2e * static_cast<double>(largest));
    sum *= std::exp2(exponent - larger);
    exponent = larger;
  }
  HWY_INLINE void flush(D d) { sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, lanes))); }
  double logarithm() const { return (std::log2(sum) + exponent) / kLog2e; }
};

struct Sides {
  Side policy, reference;

  template <typename T>
  HWY_INLINE void sum(D d, const T* a, const T* b, std::int64_t columns) {
    const auto step = static_cast<std::int64_t>(2 * hn::Lanes(d));
    policy.begin_block(d);
    reference.begin_block(d);
    for (std::int64_t i = 0; i < columns; i += step) {
      policy.add(d, load(d, a + i));
      reference.add(d, load(d, b + i));
    }
  }
  // @param columns a multiple of two vectors
  template <typename T>
  void add_block(D d, const T* a, const T* b, std::int64_t columns, bool first) {
    sum(d, a, b, columns);
    const bool policy_fits = policy.fits(d), reference_fits = reference.fits(d);
    if (first || !policy_fits || !reference_fits) {  // once more, against the maximum that is known now
      policy.raise();
      reference.raise();
      sum(d, a, b, columns);
    }
    policy.flush(d);
    reference.flush(d);
  }
};

template <typename T>
LogNormalizers both(const T* policy, const T* reference, std::int64_t columns) {
  const D d;
  constexpr std::size_t kStep = 2 * hn::MaxLanes(D());
  const auto step = static_cast<std::int64_t>(2 * hn::Lanes(d));
  const std::int64_t whole = columns / step * step;
  Sides sides;
  for (std::int64_t at = 0; at < whole; at += kBlock)
    sides.add_block(d, policy + at, reference + at, std::min(kBlock, whole - at), at == 0);
  if (whole < columns) {
    HWY_ALIGN T a[kStep], b[kStep];
    fill_up(a, kStep);
    fill_up(b, kStep);
    std::copy(policy + whole, policy + columns, a);
    std::copy(reference + whole, reference + columns, b);
    sides.add_block(d, a, b, step, whole == 0);
  }
  return {sides.policy.logarithm(), sides.reference.logarithm()};
}

LogNormalizers log_normalizers(DType dtype, const void* policy, const void* reference, std::int64_t columns) {
  if (dtype == DType::f32)
    return both(static_cast<const float*>(policy), static_cast<const float*>(reference), columns);
  return both(static_cast<const std::uint16_t*>(policy), static_cast<const std::uint16_t*>(reference),
              columns);
}

}  // namespace klmesh::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace klmesh::bench {

HWY_EXPORT(log_normalizers);

LogNormalizers log_normalizers(DType dtype, const void* policy, const void* reference, std::int64_t columns) {
  return HWY_DYNAMIC_DISPATCH(log_normalizers)(dtype, policy, reference, columns);
}

}  // namespace klmesh::bench
#endif
