// The corpus a run uses unless told otherwise, as the package of the distribution ships it.
#include <gmock/gmock.h>

#include <filesystem>

#include "loop/baselines.hpp"
#include "loop/corpus.hpp"
#include "loop/preferences.hpp"

namespace klmesh::loop {
namespace {

class Fortunes : public testing::TestWithParam<std::uint64_t> {
 protected:
  void SetUp() override {
    if (!std::filesystem::is_directory(DataConfig{}.paths.front())) {
      GTEST_SKIP() << "the package fortunes is not installed";
    }
  }
};

TEST_P(Fortunes, VocabularyCoversHeldoutTextAndBaselinesAreSane) {
  const Corpus corpus = load_corpus(DataConfig{}, GetParam());
  EXPECT_GE(corpus.vocabulary.size(), 15000);
  EXPECT_LE(corpus.vocabulary.size(), DataConfig{}.vocab_size);
  EXPECT_LE(unknown_fraction(corpus.heldout), 0.05);
  EXPECT_GT(unknown_fraction(corpus.heldout), 0.001);

  const Baselines found = fit_baselines(corpus);
  EXPECT_LT(found.bigram_perplexity, 0.8 * found.unigram_perplexity);
  EXPECT_GT(found.bigram_perplexity, 50);
  EXPECT_LT(found.unigram_perplexity, 2000);

  const Preferences preferences(corpus, RewardConfig{}, GetParam());
  EXPECT_GE(preferences.heldout_pairs().size(), 500u);

  for (const auto& [name, part] : {std::pair{"train", &corpus.train},
                                   {"validation", &corpus.validation},
                                   {"heldout", &corpus.heldout}}) {
    RecordProperty(std::string(name) + "_documents", std::to_string(part->documents()));
    RecordProperty(std::string(name) + "_tokens", std::to_string(part->tokens.size()));
    RecordProperty(std::string(name) + "_unknown", std::to_string(unknown_fraction(*part)));
  }
  RecordProperty("vocabulary", std::to_string(corpus.vocabulary.size()));
  RecordProperty("unigram_perplexity", std::to_string(found.unigram_perplexity));
  RecordProperty("bigram_perplexity", std::to_string(found.bigram_perplexity));
  RecordProperty("unigram_k", std::to_string(found.unigram_k));
  RecordProperty("k", std::to_string(found.k));
  RecordProperty("weight", std::to_string(found.weight));
  RecordProperty("heldout_pairs", std::to_string(preferences.heldout_pairs().size()));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Fortunes, testing::Values(1, 2, 3));

}  // namespace
}  // namespace klmesh::loop
