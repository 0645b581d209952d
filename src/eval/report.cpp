#include "eval/report.hpp"

namespace klmesh::eval {

bool EvalReport::has(Quantity q) const noexcept {
  if (q >= Quantity::chi_square) return has_extended;
  if (q == Quantity::k1_bias || q == Quantity::k2_bias || q == Quantity::k3_bias) return has_exact && has_estimators;
  if (q >= Quantity::logp_policy) return has_estimators;
  return has_exact;
}

}  // namespace klmesh::eval
