#include "loop/cuda/sequence_weights.hpp"

#include "loop/cuda/launch.cuh"
#include "loop/text_reward.hpp"

namespace klmesh::loop::cuda {
namespace {

// A thread a sequence of all: one that is not this rank's is 0.
__global__ void rewards_kernel(SequenceShare share, const float* scores, std::int64_t vocab_size, std::int64_t min_words,
                               const std::int32_t* tokens, double* rewards) {
  const std::int64_t sequence = thread_index();
  if (sequence >= share.total) return;
  const std::int64_t mine = sequence - share.first;
  if (mine < 0 || mine >= share.count) {
    rewards[sequence] = 0.0;
    return;
  }
  const TextReward text = text_reward(scores, vocab_size, tokens + mine * share.length, share.length, min_words);
  rewards[sequence] = text.valid ? text.mean : __longlong_as_double(0x7FF8000000000000ll);
}

// A thread a token of all.
__global__ void penalties_kernel(Penalty kind, SequenceShare share, const std::uint8_t* mask, const TokenStats* stats,
                                 double* penalties, std::int64_t* mask_of_all) {
  const std::int64_t i = thread_index();
  if (i >= share.total * share.length) return;
  const std::int64_t mine = i - share.first * share.length;
  const bool counts = mine >= 0 && mine < share.count * share.length && mask[mine] != 0;
  mask_of_all[i] = counts ? 1 : 0;
  penalties[i] = counts ? penalty_of(kind, stats[mine]) : 0.0;
}

// A thread a sequence.
__global__ void returns_kernel(Penalty kind, double beta, SequenceShare share, const double* rewards,
                               const double* penalties, double* returns) {
  const std::int64_t s = thread_index();
  if (s >= share.total) return;
  sequence_returns(kind, beta, rewards[s], penalties + s * share.length, share.length, returns + s * share.length);
}

// A thread a position: neighbours read neighbours.
__global__ void baseline_kernel(SequenceShare share, const std::int64_t* mask, double* returns) {
  const std::int64_t t = thread_index();
  if (t < share.length) subtract_baseline(t, share.total, share.length, mask, returns);
}

// A thread a token of this rank.
__global__ void weights_kernel(Penalty kind, double beta, SequenceShare share, const std::int64_t* mask,
                               const double* advantages, const TokenStats* stats, double* logp, double* kl) {
  const std::int64_t i = thread_index();
  if (i >= share.count * share.length) return;
  const std::int64_t of_all = share.first * share.length + i;
  const TokenWeights weights = mask[of_all] == 0
                                   ? TokenWeights{}
                                   : token_weights(kind, beta, share.total, advantages[of_all], stats[i]);
  logp[i] = weights.logp_policy;
  kl[i] = weights.kl_reverse;
}

}  // namespace

void sequence_terms(Penalty kind, const SequenceShare& share, const WordScores& words,
                    std::span<const std::int32_t> tokens, std::span<const std::uint8_t> mask,
                    std::span<const TokenStats> stats, const SequenceTerms& terms, StreamRef stream) {
  if (share.total * share.length == 0) return;
  rewards_kernel<<<blocks_for(share.total), kThreads, 0, native(stream)>>>(
      share, words.scores.data(), static_cast<std::int64_t>(words.scores.size()), words.min_words, tokens.data(),
      terms.rewards.data());
  check_launch("rewards_kernel");
  penalties_kernel<<<blocks_for(share.total * share.length), kThreads, 0, native(stream)>>>(
      kind, share, mask.data(), stats.data(), terms.penalties.data(), terms.mask.data());
  check_launch("penalties_kernel");
}

void policy_weights(Penalty kind, double beta, const SequenceShare& share, const SequenceTerms& terms,
                    std::span<const TokenStats> stats, std::span<double> returns, std::span<double> logp,
                    std::span<double> kl, StreamRef stream) {
  if (share.count * share.length == 0) return;
  returns_kernel<<<blocks_for(share.total), kThreads, 0, native(stream)>>>(
      kind, beta, share, terms.rewards.data(), terms.penalties.data(), returns.data());
  check_launch("returns_kernel");
  baseline_kernel<<<blocks_for(share.length), kThreads, 0, native(stream)>>>(share, terms.mask.data(), returns.data());
  check_launch("baseline_kernel");
  weights_kernel<<<blocks_for(share.count * share.length), kThreads, 0, native(stream)>>>(
      kind, beta, share, terms.mask.data(), returns.data(), stats.data(), logp.data(), kl.data());
  check_launch("weights_kernel");
}

}  // namespace klmesh::loop::cuda
