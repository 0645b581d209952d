// What a row's merged partials say: divergences, entropies, log-probabilities, estimators.
#pragma once

#include <cstdint>
#include <limits>

#include "klmesh/extended_partial.hpp"
#include "klmesh/row_partial.hpp"

namespace klmesh {

/// What a later pass over a row's logits needs of earlier ones: the second stage and the gradient.
struct RowNormalizer {
  double lse_policy = 0;      ///< A: log pi_v = a_v - A
  double lse_difference = 0;  ///< B - A, accurate even where it is tiny: log(ref_v / pi_v) = (b_v - a_v) - (B - A)
  double kl_reverse = 0;
  double entropy_policy = 0;
  double kl_policy_mixture = 0;  ///< KL[pi || (pi + ref) / 2], of the second stage; NaN before it
};

/// Everything known about one token position, in nats. Values that were not asked for, or need a target where there
/// is none, are NaN.
struct TokenStats {
  double kl_reverse = 0;   ///< KL[pi || ref]
  double kl_forward = 0;   ///< KL[ref || pi]
  double entropy_policy = 0;
  double entropy_reference = 0;
  double cross_entropy_policy_reference = 0;  ///< -sum pi log ref
  double cross_entropy_reference_policy = 0;  ///< -sum ref log pi
  double logp_policy = 0;     ///< log pi(y)
  double logp_reference = 0;  ///< log ref(y)
  double k1 = 0;              ///< -log r, r = ref(y) / pi(y)
  double k2 = 0;              ///< (log r)^2 / 2
  double k3 = 0;              ///< (r - 1) - log r
  double chi_square = 0;                   ///< sum pi^2 / ref - 1; no unit, like the next four
  double chi_square_reference_policy = 0;  ///< sum ref^2 / pi - 1 = Var(r): what governs k3's variance
  double hellinger = 0;                    ///< squared distance, 1 - sum sqrt(pi ref)
  double total_variation = 0;              ///< half the L1 distance
  double same_top = 0;                     ///< 1 if the largest logit is the same token, else 0
  double jensen_shannon = 0;               ///< weights 1/2; nats
  double renyi = 0;                        ///< D_alpha[pi || ref], of the alpha that was asked for; nats
  double lse_reference = 0;                ///< B = logsumexp(reference logits)
  RowNormalizer normalizer;
  std::uint32_t flags = 0;  ///< RowFlag bits
  std::int32_t invalid_column = std::numeric_limits<std::int32_t>::max();

  /// NaN or +inf logits, or a side without a finite one: every value above is NaN.
  KLMESH_HD bool invalid_logits() const noexcept {
    constexpr std::uint32_t mass = kPolicyHasMass | kReferenceHasMass;
    return (flags & (kInvalidPolicy | kInvalidReference)) != 0 || (flags & mass) != mass;
  }
  /// A target out of range, or of probability 0 under the policy that is said to have sampled it.
  KLMESH_HD bool invalid_target() const noexcept {
    return (flags & kTargetOutOfRange) != 0 || logp_policy == -HUGE_VAL;
  }
};

/// Reads the core statistics of a row off its merged partial; the extended ones are NaN. No communication, no
/// allocation.
///
/// kl_reverse and kl_forward are >= 0, exactly 0 for identical rows, +inf where the supports say so.
/// @param row        partial of the whole vocabulary
/// @param has_target whether the row was given a target; without one the target quantities are NaN
TokenStats finish(const RowPartial& row, bool has_target);

/// Adds what the extended partial says: chi_square, chi_square_reference_policy, hellinger, same_top.
///
/// chi squares are +inf where a support is missing (RowFlag says so), and where they overflow.
/// @param token what finish() returned for the same row
void finish_extended(const ExtendedPartial& row, TokenStats& token);

/// Whether a Renyi divergence of this order can be asked for: finite, > 0, and 1 or at least 1e-6 away from it. What
/// lies between could not keep its digits, as the logarithm of a sum near 1 is divided by alpha - 1.
bool is_renyi_order(double alpha) noexcept;

/// Adds the Renyi divergence D_alpha[pi || ref] = ln(sum pi^alpha ref^(1 - alpha)) / (alpha - 1); kl_reverse for
/// alpha = 1.
///
/// alpha > 1: +inf where pi > 0 = ref for some column. alpha < 1: +inf for disjoint supports alone. Exactly 0 for
/// identical rows; the error is some 1e-15 max(1, |lse|) / |alpha - 1|.
/// @param alpha is_renyi_order()
/// @param row   partial of the whole vocabulary, summed with the same alpha; not looked at for alpha = 1
/// @param token what finish() returned for the same row
void finish_renyi(const ExtendedPartial& row, double alpha, TokenStats& token);

}  // namespace klmesh
