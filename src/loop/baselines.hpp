// What counting alone achieves: the perplexities a neural model has to beat.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "loop/corpus.hpp"

namespace klmesh::loop {

/// Counts of words and of pairs of neighbours over what a part predicts: every token and every <eos>, each
/// after the token before it or <bos>. Probabilities are normalised over the whole vocabulary; <unk> is a
/// word like any other.
class NgramCounts {
 public:
  /// @param vocab_size  V, of the vocabulary that numbered the part
  /// Cost: linear in tokens; memory V + distinct pairs.
  NgramCounts(const TextPart& part, std::int64_t vocab_size);

  /// (count(word) + k) / (predictions + k V)
  double unigram(std::int32_t word, double k) const;

  /// (count(context word) + k) / (count(context) + k V)
  double bigram(std::int32_t context, std::int32_t word, double k) const;

 private:
  std::uint64_t pair(std::int32_t context, std::int32_t word) const {
    return static_cast<std::uint64_t>(context) * words_.size() + static_cast<std::uint64_t>(word);
  }

  std::int64_t predictions_;
  std::vector<std::int64_t> words_;     // (V) as predicted
  std::vector<std::int64_t> contexts_;  // (V) as predicted after
  std::unordered_map<std::uint64_t, std::int64_t> pairs_;
};

struct Baselines {
  double unigram_perplexity;  ///< on the held-out part, with `unigram_k`
  double
      bigram_perplexity;  ///< on the held-out part, of weight * bigram(k) + (1 - weight) * unigram(unigram_k)
  double unigram_k;       ///< tuned on the validation part, in [1e-3, 1], as the next two
  double k;
  double weight;  ///< in [0, 1]
};

/// Counts the training part, tunes on the validation part, measures on the held-out part.
/// Cost: a second for the fortunes (300,000 training tokens, 20,000 validation tokens).
Baselines fit_baselines(const Corpus& corpus);

}  // namespace klmesh::loop
