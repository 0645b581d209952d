#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <set>

#include "klmesh/error.hpp"
#include "loop/preferences.hpp"
#include "loop/text_directory.hpp"

namespace klmesh::loop {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Fixture {
  Corpus corpus;
  RewardConfig reward;
};

Fixture make(int pets, int food) {
  const TextDirectory directory;
  directory.write_fortunes("pets", pets);
  directory.write_fortunes("food", food);
  directory.write_fortunes("other", 30);
  DataConfig data;
  data.paths = {directory.path()};
  data.validation_fraction = data.heldout_fraction = 0.2;
  Fixture fixture{load_corpus(data, 1), {}};
  fixture.reward.preferred = "pets";
  fixture.reward.rejected = "food";
  return fixture;
}

using Key = std::pair<const std::int32_t*, const std::int32_t*>;
Key key_of(const PreferencePair& pair) { return {pair.preferred.data(), pair.rejected.data()}; }

bool within(std::span<const std::int32_t> text, const TextPart& part) {
  return text.data() >= part.tokens.data() &&
         text.data() + text.size() <= part.tokens.data() + part.tokens.size();
}

TEST(Preferences, TrainingPairsAreOfTheirSubjectsAndOfTheTrainingPart) {
  const Fixture made = make(40, 30);
  const Preferences preferences(made.corpus, made.reward, 1);
  for (std::uint32_t i = 0; i < 200; ++i) {
    const PreferencePair pair = preferences.training_pair(5, i);
    EXPECT_EQ(made.corpus.vocabulary.decode(pair.preferred[0]), "pets");
    EXPECT_EQ(made.corpus.vocabulary.decode(pair.rejected[0]), "food");
    EXPECT_TRUE(within(pair.preferred, made.corpus.train));
    EXPECT_TRUE(within(pair.rejected, made.corpus.train));
  }
}

TEST(Preferences, PairsDependOnSeedStepAndIndexAlone) {
  const Fixture made = make(40, 30);
  const Preferences one(made.corpus, made.reward, 1), again(made.corpus, made.reward, 1),
      other(made.corpus, made.reward, 2);
  int same_step = 0, same_index = 0, same_seed = 0;
  for (std::uint32_t i = 64; i-- > 0;) {
    const Key key = key_of(again.training_pair(3, i));
    EXPECT_EQ(key_of(one.training_pair(3, i)), key);
    same_step += key_of(one.training_pair(4, i)) == key;
    same_index += key_of(one.training_pair(3, i + 64)) == key;
    same_seed += key_of(other.training_pair(3, i)) == key;
  }
  EXPECT_LT(same_step, 8);  // of about 24 * 18 pairs
  EXPECT_LT(same_index, 8);
  EXPECT_LT(same_seed, 8);
}

TEST(Preferences, TrainingPairsUseEveryTextEvenly) {
  const Fixture made = make(20, 10);
  const Preferences preferences(made.corpus, made.reward, 7);
  std::map<const std::int32_t*, int> preferred, rejected;
  std::set<Key> keys;
  constexpr int draws = 8000;
  for (std::uint32_t i = 0; i < draws; ++i) {
    const PreferencePair pair = preferences.training_pair(i / 64, i % 64);
    ++preferred[pair.preferred.data()];
    ++rejected[pair.rejected.data()];
    keys.insert(key_of(pair));
  }
  EXPECT_EQ(keys.size(), preferred.size() * rejected.size());  // drawn independently: each pair about 80 times
  for (const auto* counts : {&preferred, &rejected}) {
    const double expected = static_cast<double>(draws) / static_cast<double>(counts->size());
    EXPECT_GT(counts->size(), 3u);
    for (const auto& [text, count] : *counts) EXPECT_NEAR(count, expected, 5 * std::sqrt(expected));
  }
}

TEST(Preferences, HeldoutPairsAreAllDifferentAndNotTrainedOn) {
  const Fixture made = make(30, 45);
  const Preferences preferences(made.corpus, made.reward, 1);
  std::set<Key> keys;
  std::set<const std::int32_t*> preferred, rejected;
  for (const PreferencePair& pair : preferences.heldout_pairs()) {
    keys.insert(key_of(pair));
    preferred.insert(pair.preferred.data());
    rejected.insert(pair.rejected.data());
    EXPECT_FALSE(within(pair.preferred, made.corpus.train));
    EXPECT_FALSE(within(pair.rejected, made.corpus.train));
    EXPECT_EQ(made.corpus.vocabulary.decode(pair.preferred[0]), "pets");
    EXPECT_EQ(made.corpus.vocabulary.decode(pair.rejected[0]), "food");
  }
  EXPECT_EQ(keys.size(), preferences.heldout_pairs().size());
  EXPECT_EQ(keys.size(), preferred.size() * rejected.size());
}

TEST(Preferences, HeldoutPairsAreLimited) {
  const Fixture made = make(200, 120);
  const Preferences preferences(made.corpus, made.reward, 1);
  std::set<Key> keys;
  for (const PreferencePair& pair : preferences.heldout_pairs()) keys.insert(key_of(pair));
  EXPECT_EQ(keys.size(), static_cast<std::size_t>(Preferences::max_heldout_pairs));
  EXPECT_EQ(preferences.heldout_pairs().size(), keys.size());
}

TEST(Preferences, ErrorsNameTheSubjectAndTheSubjectsThereAre) {
  Fixture made = make(40, 30);
  made.reward.rejected = "fod";
  EXPECT_THAT(message_of<InvalidData>([&] { Preferences(made.corpus, made.reward, 1); }),
              AllOf(HasSubstr("'fod'"), HasSubstr("food, other, pets")));
  made.reward.rejected = made.reward.preferred;
  EXPECT_THAT(message_of<InvalidData>([&] { Preferences(made.corpus, made.reward, 1); }),
              HasSubstr("'pets'"));
}

TEST(Preferences, ASubjectWithoutTextsToMeasureOnIsAnError) {
  Fixture made = make(40, 30);
  made.corpus.validation = made.corpus.heldout = TextPart{};
  EXPECT_THAT(message_of<InvalidData>([&] { Preferences(made.corpus, made.reward, 1); }),
              HasSubstr("measure"));
}

}  // namespace
}  // namespace klmesh::loop
