// Pairs of texts of which one is preferred: what the reward model learns from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "loop/corpus.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// Tokens of two texts, without <bos> and <eos>; borrowed from the corpus.
struct PreferencePair {
  std::span<const std::int32_t> preferred;
  std::span<const std::int32_t> rejected;
};

/// Texts of one subject against texts of another. The corpus must outlive this.
class Preferences {
 public:
  static constexpr std::int64_t max_heldout_pairs = 1024;

  /// @throws InvalidData  a subject has no texts to train on or none to measure on, or both are the same
  Preferences(const Corpus& corpus, const RewardConfig& reward, std::uint64_t seed);

  /// Pair `index` of a step, of the training part: a function of (seed, step, index) alone, whoever asks, in
  /// any order.
  PreferencePair training_pair(std::uint32_t step, std::uint32_t index) const;

  /// Different pairs of the validation and held-out parts, the same list on every rank and at every step: all
  /// there are, or `max_heldout_pairs` that use the texts evenly.
  std::span<const PreferencePair> heldout_pairs() const noexcept { return heldout_; }

 private:
  using Texts = std::vector<std::span<const std::int32_t>>;

  Texts preferred_;  // of the training part
  Texts rejected_;
  std::vector<PreferencePair> heldout_;
  std::uint64_t seed_;
};

}  // namespace klmesh::loop
