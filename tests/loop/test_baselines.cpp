#include <gmock/gmock.h>

#include <cmath>

#include "loop/baselines.hpp"

namespace klmesh::loop {
namespace {

TextPart part_of(const std::vector<std::vector<std::int32_t>>& texts) {
  TextPart part;
  for (const auto& text : texts) {
    part.tokens.insert(part.tokens.end(), text.begin(), text.end());
    part.offsets.push_back(static_cast<std::int64_t>(part.tokens.size()));
    part.subject.push_back(0);
  }
  return part;
}

/// A vocabulary of `words` words besides the special tokens: numbers 3, 4, ...
Vocabulary vocabulary_of(int words) {
  WordCounts counts;
  for (int i = 0; i < words; ++i) counts[std::string(static_cast<std::size_t>(i + 1), 'a')] = 1;
  return Vocabulary(counts, 1000);
}

TEST(NgramCounts, ProbabilitiesByHand) {
  const NgramCounts counts(part_of({{3, 4, 3}, {0}}),
                           5);  // 6 predictions; contexts: bos 2, 3 twice, 4 once, unk once
  EXPECT_DOUBLE_EQ(counts.unigram(3, 0.5), 2.5 / (6 + 0.5 * 5));
  EXPECT_DOUBLE_EQ(counts.unigram(Vocabulary::end, 0.5), 2.5 / 8.5);
  EXPECT_DOUBLE_EQ(counts.unigram(Vocabulary::unknown, 0.5), 1.5 / 8.5);
  EXPECT_DOUBLE_EQ(counts.unigram(Vocabulary::begin, 0.5), 0.5 / 8.5);
  EXPECT_DOUBLE_EQ(counts.bigram(Vocabulary::begin, 3, 0.1), 1.1 / 2.5);
  EXPECT_DOUBLE_EQ(counts.bigram(3, 4, 0.1), 1.1 / 2.5);
  EXPECT_DOUBLE_EQ(counts.bigram(3, Vocabulary::end, 0.1), 1.1 / 2.5);
  EXPECT_DOUBLE_EQ(counts.bigram(0, 4, 0.1), 0.1 / 1.5);
  EXPECT_DOUBLE_EQ(counts.bigram(Vocabulary::end, 4, 0.1), 0.2);  // a context never seen: uniform
}

TEST(NgramCounts, ProbabilitiesSumToOneInEveryContext) {
  constexpr std::int32_t vocab_size = 9;
  const NgramCounts counts(part_of({{3, 4, 5, 3, 4}, {8, 8, 0}, {6}}), vocab_size);
  for (const double k : {1e-3, 0.1, 1.0}) {
    double unigram = 0;
    for (std::int32_t word = 0; word < vocab_size; ++word) unigram += counts.unigram(word, k);
    EXPECT_NEAR(unigram, 1, 1e-14);
    for (std::int32_t context = 0; context < vocab_size; ++context) {
      double bigram = 0;
      for (std::int32_t word = 0; word < vocab_size; ++word) bigram += counts.bigram(context, word, k);
      EXPECT_NEAR(bigram, 1, 1e-14);
    }
  }
}

TEST(FitBaselines, UniformTextGivesTheUnigramByHand) {
  Corpus corpus;
  corpus.vocabulary = vocabulary_of(2);
  corpus.train = part_of({{3}, {4}});
  corpus.validation = part_of({{3}, {4}});
  corpus.heldout = part_of({{3, 3}});
  const Baselines found = fit_baselines(corpus);
  EXPECT_DOUBLE_EQ(found.unigram_k, 1e-3);  // <unk> and <bos> never occur: the less smoothing the better
  const double k = found.unigram_k, all = 4 + 5 * k;
  EXPECT_NEAR(found.unigram_perplexity, 1 / std::cbrt((1 + k) / all * (1 + k) / all * (2 + k) / all), 1e-12);
}

TEST(FitBaselines, DeterministicNextWordIsLearnt) {
  std::vector<std::vector<std::int32_t>> texts;
  for (std::int32_t i = 0; i < 20; ++i)
    texts.push_back({3 + i % 4, 7 + i % 4, 3 + i % 4, 7 + i % 4, 3 + i % 4});
  Corpus corpus;
  corpus.vocabulary = vocabulary_of(8);
  corpus.train = corpus.validation = corpus.heldout = part_of(texts);
  const Baselines found = fit_baselines(corpus);
  EXPECT_GT(found.weight, 0.9);
  EXPECT_DOUBLE_EQ(found.k, 1e-3);
  // bos -> 4 ways; 3 + i -> 7 + i twice in three, eos once; 7 + i -> 3 + i always
  const double nats = std::log(4.0) + 2 * std::log(1.5) + std::log(3.0);
  EXPECT_NEAR(found.bigram_perplexity, std::exp(nats / 6), 0.01);
  EXPECT_GT(found.unigram_perplexity, 5);
}

TEST(FitBaselines, MisleadingContextGetsLittleWeight) {
  Corpus corpus;
  corpus.vocabulary = vocabulary_of(2);
  corpus.train = part_of({{3, 3, 3, 3}, {4, 4, 4, 4}});
  corpus.validation = part_of({{3, 4, 3, 4, 3, 4}});
  corpus.heldout = part_of({{4, 3}});
  const Baselines found = fit_baselines(corpus);
  EXPECT_LT(found.weight, 0.5);
  EXPECT_TRUE(std::isfinite(found.bigram_perplexity));
}

TEST(FitBaselines, HeldoutTextTunesNothing) {
  Corpus corpus;
  corpus.vocabulary = vocabulary_of(4);
  corpus.train = part_of({{3, 4, 5, 3, 4}, {6, 3, 4}});
  corpus.validation = part_of({{3, 4, 6}});
  corpus.heldout = part_of({{3, 4}});
  const Baselines one = fit_baselines(corpus);
  corpus.heldout = part_of({{6, 6, 0, 5}});
  const Baselines other = fit_baselines(corpus);
  EXPECT_EQ(one.k, other.k);
  EXPECT_EQ(one.weight, other.weight);
  EXPECT_EQ(one.unigram_k, other.unigram_k);
  EXPECT_NE(one.bigram_perplexity, other.bigram_perplexity);
}

}  // namespace
}  // namespace klmesh::loop
