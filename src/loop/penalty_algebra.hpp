// What a penalty adds to the policy gradient, token by token. Host and device: one algebra, one order of additions.
#pragma once

#include <cmath>
#include <cstdint>

#include "klmesh/divergence.hpp"
#include "klmesh/host_device.hpp"

namespace klmesh::loop {

/// Where the penalty enters, and whether it is exact or one of the estimators.
enum class Penalty { exact_reward, k1_reward, exact_loss, k2_loss, k3_loss, none };

/// The per-token penalty that enters the reward: KL_t, k1_t, or 0 for the kinds that do not use the reward.
KLMESH_HD inline double penalty_of(Penalty kind, const TokenStats& token) noexcept {
  if (kind == Penalty::exact_reward) return token.kl_reverse;
  if (kind == Penalty::k1_reward) return token.k1;
  return 0.0;
}

/// Returns of one sequence: R - beta * (penalties from where the kind begins to count).
///
/// Exact KL of the token's own position is differentiated itself, so its return begins one later; k1 of the own position
/// is a sample of that gradient: E[grad log pi * k1] = grad KL.
/// @param penalties (length) 0 where masked
/// @param returns   (length) output
KLMESH_HD inline void sequence_returns(Penalty kind, double beta, double reward, const double* penalties,
                                       std::int64_t length, double* returns) {
  const bool count_own = kind == Penalty::k1_reward;
  double later = 0.0;
  for (std::int64_t t = length; t-- > 0;) {
    const double own = penalties[t];
    returns[t] = reward - beta * (count_own ? later + own : later);
    later += own;
  }
}

/// Turns the returns of one position into advantages: less the mean over the other sequences, 0 where masked. That
/// baseline does not depend on the sequence itself, so the gradient stays unbiased.
/// @param returns (sequences, length), column t is changed
/// @param mask    (sequences, length), 0: masked
KLMESH_HD inline void subtract_baseline(std::int64_t t, std::int64_t sequences, std::int64_t length,
                                        const std::int64_t* mask, double* returns) {
  double sum = 0.0;
  double count = 0.0;
  for (std::int64_t s = 0; s < sequences; ++s) {
    if (mask[s * length + t] == 0) continue;
    sum += returns[s * length + t];
    count += 1.0;
  }
  for (std::int64_t s = 0; s < sequences; ++s) {
    double& value = returns[s * length + t];
    if (mask[s * length + t] == 0) {
      value = 0.0;
    } else if (count > 1.0) {
      value -= (sum - value) / (count - 1.0);
    }
  }
}

/// Weights of one token's log pi(y) and kl_reverse in the loss that is minimised, for the mean over sequences.
struct TokenWeights {
  double logp_policy = 0;
  double kl_reverse = 0;
};

KLMESH_HD inline TokenWeights token_weights(Penalty kind, double beta, std::int64_t sequences, double advantage,
                                            const TokenStats& token) {
  const double weight = 1.0 / static_cast<double>(sequences);
  TokenWeights w{-advantage * weight, 0.0};
  switch (kind) {
    case Penalty::exact_reward:
    case Penalty::exact_loss:
      w.kl_reverse = beta * weight;
      break;
    case Penalty::k2_loss:  // d k2 = k1 d log pi(y)
      w.logp_policy += beta * weight * token.k1;
      break;
    case Penalty::k3_loss:  // d k3 = (1 - r) d log pi(y)
      w.logp_policy -= beta * weight * std::expm1(-token.k1);
      break;
    case Penalty::k1_reward:
    case Penalty::none:
      break;
  }
  return w;
}

}  // namespace klmesh::loop
