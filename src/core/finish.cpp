#include <cmath>

#include "core/finish_row.hpp"

namespace klmesh {

TokenStats finish(const RowPartial& row, bool has_target) { return finish_row(row, has_target); }

void finish_extended(const ExtendedPartial& row, TokenStats& token) { finish_extended_row(row, token); }

bool is_renyi_order(double alpha) noexcept {
  return std::isfinite(alpha) && alpha > 0.0 && (alpha == 1.0 || std::fabs(alpha - 1.0) >= 1e-6);
}

void finish_renyi(const ExtendedPartial& row, double alpha, TokenStats& token) { finish_renyi_row(row, alpha, token); }

}  // namespace klmesh
