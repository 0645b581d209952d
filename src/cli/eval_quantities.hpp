// The per-row quantities that a report shows, in its order.
#pragma once

#include <array>

#include "eval/report.hpp"

namespace klmesh::cli {

inline constexpr std::array exact_quantities{Quantity::kl_reverse,
                                             Quantity::kl_forward,
                                             Quantity::entropy_policy,
                                             Quantity::entropy_reference,
                                             Quantity::cross_entropy_policy_reference,
                                             Quantity::cross_entropy_reference_policy,
                                             Quantity::chi_square,
                                             Quantity::chi_square_reference_policy,
                                             Quantity::hellinger,
                                             Quantity::jensen_shannon,
                                             Quantity::total_variation,
                                             Quantity::renyi};
inline constexpr std::array sampled_quantities{Quantity::logp_policy, Quantity::logp_reference, Quantity::k1,
                                               Quantity::k2, Quantity::k3};

/// Whether a report names a quantity at all, be it as null: renyi only where its order was given.
constexpr bool is_named(const eval::EvalReport& report, Quantity q) noexcept {
  return q != Quantity::renyi || report.renyi_alpha.has_value();
}

}  // namespace klmesh::cli
