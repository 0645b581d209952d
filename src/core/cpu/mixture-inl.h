// Policy and reference against their mixture m = (pi + ref) / 2; compiled once per SIMD target.

#if defined(KLMESH_CORE_CPU_MIXTURE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_MIXTURE_INL_H
#undef KLMESH_CORE_CPU_MIXTURE_INL_H
#else
#define KLMESH_CORE_CPU_MIXTURE_INL_H
#endif

#include "core/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// expm1(-|l|) / 2 and ln(1 + that) = ln((1 + e^-|l|) / 2): with l = ln(ref / pi), what the mixture has over the
// larger of the two. Small where they are close, with all its digits.
struct BelowLarger {
  V excess, log;
};

HWY_INLINE BelowLarger below_larger(D d, V log_ratio) {
  // At -100 expm1 is -1 to the last bit.
  const V down = hn::Max(hn::Set(d, -100.0), hn::Neg(hn::Abs(log_ratio)));
  const V excess = hn::Mul(hn::Set(d, 0.5), hn::Expm1(d, down));
  return {excess, hn::Log1p(d, excess)};
}

// ln(m / pi), from l = ln(ref / pi); l = -inf, where the reference has no mass, gives -ln 2.
HWY_INLINE V log_mixture_over_policy(D d, V log_ratio) {
  return hn::Add(hn::Max(log_ratio, hn::Zero(d)), below_larger(d, log_ratio).log);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
