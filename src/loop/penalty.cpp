#include "loop/penalty.hpp"

#include <array>
#include <cmath>
#include <string>

#include "klmesh/error.hpp"

namespace klmesh::loop {
namespace {

struct Kind {
  Penalty penalty;
  std::string_view name;
  std::string_view objective;
};

constexpr std::array<Kind, 6> kKinds{{
    {Penalty::exact_reward, "exact_reward", "E[R] - beta KL[policy||reference] of sequences, exact KL per position"},
    {Penalty::k1_reward, "k1_reward", "E[R] - beta KL[policy||reference] of sequences, sampled"},
    {Penalty::exact_loss, "exact_loss", "E[R] - beta sum_t KL[policy||reference] with prefixes held fixed, exact"},
    {Penalty::k2_loss, "k2_loss", "E[R] - beta sum_t KL[policy||reference] with prefixes held fixed, sampled"},
    {Penalty::k3_loss, "k3_loss", "E[R] - beta sum_t KL[reference||policy] (forward!) with prefixes held fixed, sampled"},
    {Penalty::none, "none", "E[R], no penalty"},
}};

const Kind& kind_of(Penalty penalty) { return kKinds[static_cast<std::size_t>(penalty)]; }

}  // namespace

std::string_view name(Penalty penalty) noexcept { return kind_of(penalty).name; }

std::string_view objective(Penalty penalty) noexcept { return kind_of(penalty).objective; }

Penalty parse_penalty(std::string_view text) {
  std::string names;
  for (const Kind& kind : kKinds) {
    if (kind.name == text) return kind.penalty;
    names += (names.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw InvalidArgument("\"" + std::string(text) + "\" is no kind of penalty: " + names);
}

double penalty_of(Penalty kind, const TokenStats& token) noexcept {
  if (kind == Penalty::exact_reward) return token.kl_reverse;
  if (kind == Penalty::k1_reward) return token.k1;
  return 0.0;
}

std::vector<double> advantages(Penalty kind, double beta, const SequenceBatch& batch) {
  // Exact KL of the token's own position is differentiated itself, so its return begins one later; k1 of the own
  // position is a sample of that gradient: E[grad log pi * k1] = grad KL.
  const bool count_own = kind == Penalty::k1_reward;
  const auto sequences = static_cast<std::size_t>(batch.sequences);
  const auto length = static_cast<std::size_t>(batch.length);
  std::vector<double> result(sequences * length, 0.0);
  for (std::size_t s = 0; s < sequences; ++s) {
    double later = 0.0;
    for (std::size_t t = length; t-- > 0;) {
      const double own = batch.penalties[s * length + t];
      result[s * length + t] = batch.rewards[s] - beta * (count_own ? later + own : later);
      later += own;
    }
  }
  for (std::size_t t = 0; t < length; ++t) {
    double sum = 0.0;
    double count = 0.0;
    for (std::size_t s = 0; s < sequences; ++s) {
      if (batch.mask[s * length + t] == 0) continue;
      sum += result[s * length + t];
      count += 1.0;
    }
    for (std::size_t s = 0; s < sequences; ++s) {
      double& value = result[s * length + t];
      if (batch.mask[s * length + t] == 0) {
        value = 0.0;
      } else if (count > 1.0) {
        value -= (sum - value) / (count - 1.0);
      }
    }
  }
  return result;
}

TokenWeights token_weights(Penalty kind, double beta, std::int64_t sequences, double advantage,
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
