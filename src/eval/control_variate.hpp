// k_lambda: k1 with r - 1, whose mean is 0, as control variate.
#pragma once

#include <optional>

#include "eval/token_table.hpp"
#include "klmesh/communicator.hpp"

namespace klmesh::eval {

/// lambda* = -Cov(k1, r - 1) / Var(r - 1) over all counted tokens, from exact sums: the same bits on any mesh.
/// Absent for fewer than 3 tokens, and where Var(r - 1) is 0 or not finite. Collective over `world`.
std::optional<double> fit_lambda(const TokenTable& table, Communicator& world);

/// Fills table.k_lambda with k1 + lambda (r - 1).
void apply_lambda(TokenTable& table, double lambda);

}  // namespace klmesh::eval
