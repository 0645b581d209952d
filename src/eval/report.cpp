#include "eval/report.hpp"

namespace klmesh::eval {

bool has_quantiles(Quantity q) noexcept {
  return q == Quantity::kl_reverse || q == Quantity::kl_forward || (q >= Quantity::logp_policy && q <= Quantity::k3);
}

bool EvalReport::has(Quantity q) const noexcept {
  if (q == Quantity::renyi) return has_exact && renyi_alpha.has_value();
  if (q >= Quantity::chi_square) return has_extended;
  if (q == Quantity::k1_bias || q == Quantity::k2_bias || q == Quantity::k3_bias) return has_exact && has_estimators;
  if (q >= Quantity::logp_policy) return has_estimators;
  return has_exact;
}

}  // namespace klmesh::eval
