#include "loop/baselines.hpp"

#include <cmath>
#include <cstddef>
#include <limits>

namespace klmesh::loop {
namespace {

/// Calls visit(context, word) for everything that a part predicts.
template <class Visit>
void for_each_prediction(const TextPart& part, Visit visit) {
  for (std::int64_t i = 0; i < part.documents(); ++i) {
    std::int32_t context = Vocabulary::begin;
    for (const std::int32_t word : part.document(i)) {
      visit(context, word);
      context = word;
    }
    visit(context, Vocabulary::end);
  }
}

/// exp of the mean of -log probability(context, word).
template <class Probability>
double perplexity(const TextPart& part, Probability probability) {
  long double sum_nats = 0;
  for_each_prediction(part, [&](std::int32_t context, std::int32_t word) {
    sum_nats -= std::log(static_cast<long double>(probability(context, word)));
  });
  return static_cast<double>(std::exp(sum_nats / static_cast<long double>(part.predictions())));
}

/// 1e-3 to 1, four a decade.
std::vector<double> smoothing_grid() {
  std::vector<double> grid;
  for (int i = -12; i <= 0; ++i) grid.push_back(std::pow(10.0, i / 4.0));
  return grid;
}

double tune_unigram(const NgramCounts& counts, const TextPart& validation) {
  double best_k = 0, best = std::numeric_limits<double>::infinity();
  for (const double k : smoothing_grid()) {
    const double found =
        perplexity(validation, [&](auto, std::int32_t word) { return counts.unigram(word, k); });
    if (found < best) best = found, best_k = k;
  }
  return best_k;
}

/// Mean log likelihood of the mixture, up to a constant factor that the maximum does not see.
double mixture_log_likelihood(const std::vector<double>& unigram, const std::vector<double>& bigram,
                              double weight) {
  double sum_nats = 0;
  for (std::size_t i = 0; i < unigram.size(); ++i) {
    sum_nats += std::log(weight * bigram[i] + (1 - weight) * unigram[i]);
  }
  return sum_nats;
}

/// Fills k and weight of `baselines`; weight 0 is on the grid, so on the validation part the mixture never
/// loses to the unigram.
void tune_bigram(const NgramCounts& counts, const TextPart& validation, Baselines& baselines) {
  constexpr int weights = 50;
  std::vector<double> unigram, bigram;
  for_each_prediction(validation, [&](auto, std::int32_t word) {
    unigram.push_back(counts.unigram(word, baselines.unigram_k));
  });
  double best = -std::numeric_limits<double>::infinity();
  for (const double k : smoothing_grid()) {
    bigram.clear();
    for_each_prediction(validation, [&](std::int32_t context, std::int32_t word) {
      bigram.push_back(counts.bigram(context, word, k));
    });
    for (int i = 0; i <= weights; ++i) {
      const double weight = static_cast<double>(i) / weights;
      const double found = mixture_log_likelihood(unigram, bigram, weight);
      if (found > best) best = found, baselines.k = k, baselines.weight = weight;
    }
  }
}

}  // namespace

NgramCounts::NgramCounts(const TextPart& part, std::int64_t vocab_size)
    : predictions_(part.predictions()), words_(vocab_size), contexts_(vocab_size) {
  for_each_prediction(part, [&](std::int32_t context, std::int32_t word) {
    ++words_[word];
    ++contexts_[context];
    ++pairs_[pair(context, word)];
  });
}

double NgramCounts::unigram(std::int32_t word, double k) const {
  const double vocab_size = static_cast<double>(words_.size());
  return (static_cast<double>(words_[word]) + k) / (static_cast<double>(predictions_) + k * vocab_size);
}

double NgramCounts::bigram(std::int32_t context, std::int32_t word, double k) const {
  const auto found = pairs_.find(pair(context, word));
  const double count = found == pairs_.end() ? 0 : static_cast<double>(found->second);
  const double vocab_size = static_cast<double>(words_.size());
  return (count + k) / (static_cast<double>(contexts_[context]) + k * vocab_size);
}

Baselines fit_baselines(const Corpus& corpus) {
  const NgramCounts counts(corpus.train, corpus.vocabulary.size());
  Baselines baselines{};
  baselines.unigram_k = tune_unigram(counts, corpus.validation);
  tune_bigram(counts, corpus.validation, baselines);
  const auto unigram = [&](std::int32_t, std::int32_t word) {
    return counts.unigram(word, baselines.unigram_k);
  };
  baselines.unigram_perplexity = perplexity(corpus.heldout, unigram);
  baselines.bigram_perplexity = perplexity(corpus.heldout, [&](std::int32_t context, std::int32_t word) {
    return baselines.weight * counts.bigram(context, word, baselines.k) +
           (1 - baselines.weight) * unigram(context, word);
  });
  return baselines;
}

}  // namespace klmesh::loop
