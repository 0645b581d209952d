// From sampled sequences to the weights of their tokens in the policy gradient.
#include <algorithm>
#include <limits>

#include "loop/host/host_ops.hpp"
#include "loop/text_reward.hpp"

namespace klmesh::loop {

void HostOps::sequence_terms(Penalty kind, const SequenceShare& share, const WordScores& words,
                             std::span<const std::int32_t> tokens, std::span<const std::uint8_t> mask,
                             std::span<const TokenStats> stats, const SequenceTerms& terms) {
  std::ranges::fill(terms.rewards, 0.0);
  std::ranges::fill(terms.penalties, 0.0);
  std::ranges::fill(terms.mask, 0);
  const auto vocab_size = static_cast<std::int64_t>(words.scores.size());
  for (std::int64_t s = 0; s < share.count; ++s) {
    const TextReward text = text_reward(words.scores.data(), vocab_size, tokens.data() + s * share.length, share.length,
                                        words.min_words);
    terms.rewards[share.first + s] = text.valid ? text.mean : std::numeric_limits<double>::quiet_NaN();
  }
  const std::int64_t first = share.first * share.length;
  for (std::int64_t i = 0; i < share.count * share.length; ++i) {
    if (mask[i] == 0) continue;
    terms.mask[first + i] = 1;
    terms.penalties[first + i] = penalty_of(kind, stats[i]);
  }
}

void HostOps::policy_weights(Penalty kind, double beta, const SequenceShare& share, const SequenceTerms& terms,
                             std::span<const TokenStats> stats, std::span<double> returns, std::span<double> logp,
                             std::span<double> kl) {
  for (std::int64_t s = 0; s < share.total; ++s) {
    sequence_returns(kind, beta, terms.rewards[s], terms.penalties.data() + s * share.length, share.length,
                     returns.data() + s * share.length);
  }
  for (std::int64_t t = 0; t < share.length; ++t) {
    subtract_baseline(t, share.total, share.length, terms.mask.data(), returns.data());
  }
  const std::int64_t first = share.first * share.length;
  for (std::int64_t i = 0; i < share.count * share.length; ++i) {
    const bool counts = terms.mask[first + i] != 0;
    const TokenWeights w =
        counts ? token_weights(kind, beta, share.total, returns[first + i], stats[i]) : TokenWeights{};
    logp[i] = w.logp_policy;
    kl[i] = w.kl_reverse;
  }
}

}  // namespace klmesh::loop
