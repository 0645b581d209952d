// What the rank that finished a row tells the others about it, in the schedule by_rows. Host and device.
#pragma once

#include <cmath>

#include "core/finish_row.hpp"
#include "klmesh/divergence.hpp"

namespace klmesh {

/// What travels of a RowNormalizer before the second stage. 32 bytes.
struct SharedNormalizer {
  double lse_policy, lse_difference, kl_reverse, entropy_policy;  ///< lse_policy is NaN for an invalid row
};

KLMESH_HD inline SharedNormalizer shared_normalizer(const TokenStats& token) {
  const RowNormalizer& n = token.normalizer;
  const bool invalid = token.invalid_logits() || token.invalid_target();
  return {invalid ? static_cast<double>(NAN) : n.lse_policy, n.lse_difference, n.kl_reverse, n.entropy_policy};
}

/// Enough for a later pass, and nothing that could be taken for a statistic.
KLMESH_HD inline TokenStats token_of(const SharedNormalizer& shared) {
  RowPartial unknown;
  if (std::isnan(shared.lse_policy)) unknown.flags = kInvalidPolicy;
  TokenStats token = finish_row(unknown, false);  // of a row without mass: every value is NaN
  if (std::isnan(shared.lse_policy)) return token;
  token.flags = kPolicyHasMass | kReferenceHasMass;
  token.normalizer = {shared.lse_policy, shared.lse_difference, shared.kl_reverse, shared.entropy_policy, static_cast<double>(NAN)};
  return token;
}

}  // namespace klmesh
