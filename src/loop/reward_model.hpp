// The reward model: Bradley-Terry preferences between texts, from one score per word.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/communicator.hpp"
#include "loop/adam.hpp"
#include "loop/buffer.hpp"
#include "loop/exact_gradient.hpp"
#include "loop/preferences.hpp"
#include "loop/text_reward.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// r(text) = sum over its words of scores[word] / max(words, min_words); special tokens count nothing.
/// P(a preferred to b) = 1 / (1 + exp(r(b) - r(a))).
///
/// The mean makes rewards of short and long texts comparable; min_words keeps a text of one good word from being the
/// best of all. The temperature is learnt too: it is the scale of the scores. Replicated on every rank, and fitted in the
/// host's memory: a step looks at a few hundred words. Source: Bradley and Terry, Biometrika 39, 1952.
class RewardModel {
 public:
  /// All scores 0.
  /// @param host a back end in the host's memory; must outlive this
  /// @throws InvalidArgument unless vocab_size >= 1
  RewardModel(TensorOps& host, std::int64_t vocab_size, const RewardConfig& reward, const AdamConfig& adam);

  /// One step of AdamW on the mean of -log P(preferred) over the pairs of a step. Collective over `world`.
  ///
  /// @param local_pairs this rank's part of the pairs; may be empty; any split gives the same bits
  /// @param total_pairs pairs of all ranks, >= 1
  /// @returns the loss before the step, nats a pair
  /// @throws InvalidData on every rank, if the gradient is not finite or a word is outside the vocabulary
  /// Cost: one exchange of 8 bytes a word of the vocabulary.
  double step(std::span<const PreferencePair> local_pairs, std::int64_t total_pairs, Communicator& world);

  /// Reward of a text; 0 if it has no words. @throws InvalidData if a word is outside the vocabulary
  double score(std::span<const std::int32_t> tokens) const;

  /// Fraction of pairs whose preferred text has the larger reward; ties count one half. 0 pairs: NaN.
  double accuracy(std::span<const PreferencePair> pairs) const;

  /// (vocab_size) score of each word; with the optimiser all there is to a checkpoint.
  std::span<float> scores() noexcept { return scores_.span(); }
  std::span<const float> scores() const noexcept { return scores_.span(); }
  /// Shorter texts are averaged over as many words as this.
  std::int64_t min_words() const noexcept { return reward_.min_words; }
  TensorOps& ops() const noexcept { return *ops_; }
  Adam& optimizer() noexcept { return optimizer_; }
  const Adam& optimizer() const noexcept { return optimizer_; }

 private:
  TextReward reward_of(std::span<const std::int32_t> tokens) const noexcept;
  void add_pair(const PreferencePair& pair, double weight);

  TensorOps* ops_;
  RewardConfig reward_;
  Buffer<float> scores_;
  ExactGradient gradient_;
  Adam optimizer_;
};

}  // namespace klmesh::loop
