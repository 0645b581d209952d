// The KL penalties of phase 3: what each one adds to the policy gradient, and the objective it really descends.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "klmesh/divergence.hpp"

namespace klmesh::loop {

/// Where the penalty enters, and whether it is exact or one of the estimators.
enum class Penalty { exact_reward, k1_reward, exact_loss, k2_loss, k3_loss, none };

/// The name that configurations and files use.
std::string_view name(Penalty penalty) noexcept;
/// @throws InvalidArgument listing the kinds
Penalty parse_penalty(std::string_view name);
/// The objective whose expected gradient the kind follows, in words. Runs compare only where these are equal.
std::string_view objective(Penalty penalty) noexcept;

/// A step's sampled sequences, all ranks' together. Row of a token: sequence * length + position.
struct SequenceBatch {
  std::int64_t sequences = 0;
  std::int64_t length = 0;
  std::span<const double> rewards;       ///< (sequences)
  std::span<const double> penalties;     ///< (sequences, length) what penalty_of() gives, 0 where masked
  std::span<const std::uint8_t> mask;    ///< (sequences, length)
};

/// The per-token penalty that enters the reward: KL_t, k1_t, or 0 for the kinds that do not use the reward.
double penalty_of(Penalty kind, const TokenStats& token) noexcept;

/// Advantage of every token: return-to-go, R - beta * (penalties from where the kind begins to count), less the mean
/// over the other sequences at the same position. That baseline does not depend on the sequence itself, so the
/// gradient stays unbiased. (sequences, length), 0 where masked.
std::vector<double> advantages(Penalty kind, double beta, const SequenceBatch& batch);

/// Weights of one token's log pi(y) and kl_reverse in the loss that is minimised, for the mean over sequences.
struct TokenWeights {
  double logp_policy = 0;
  double kl_reverse = 0;
};
TokenWeights token_weights(Penalty kind, double beta, std::int64_t sequences, double advantage, const TokenStats& token);

}  // namespace klmesh::loop
