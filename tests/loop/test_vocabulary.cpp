#include <gmock/gmock.h>

#include "klmesh/error.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {
namespace {

using testing::ElementsAre;

WordCounts counts_of(const std::vector<std::string>& words) {
  WordCounts counts;
  count_words(words, counts);
  return counts;
}

const WordCounts some = counts_of({"pear", "fig", "apple", "fig", "pear", "fig", "zebra", "apple", "kiwi"});

TEST(Vocabulary, RanksByFrequencyThenAlphabet) {
  const Vocabulary vocabulary(some, 6);
  EXPECT_EQ(vocabulary.size(), 6);
  EXPECT_THAT(vocabulary.decode(std::vector<std::int32_t>{0, 1, 2, 3, 4, 5}),
              ElementsAre("<unk>", "<bos>", "<eos>", "fig", "apple", "pear"));
}

TEST(Vocabulary, IsSmallerWhenThereAreFewerWords) {
  const Vocabulary vocabulary(some, 1000);
  EXPECT_EQ(vocabulary.size(), 8);
  EXPECT_EQ(vocabulary.decode(7), "zebra");
}

TEST(Vocabulary, EncodesAndDecodes) {
  const Vocabulary vocabulary(some, 6);
  const std::vector<std::string> words{"pear", "kiwi", "fig", "nobody"};
  EXPECT_THAT(vocabulary.encode(words), ElementsAre(5, Vocabulary::unknown, 3, Vocabulary::unknown));
  EXPECT_THAT(vocabulary.decode(vocabulary.encode(words)), ElementsAre("pear", "<unk>", "fig", "<unk>"));
}

TEST(Vocabulary, SpecialTokensHaveTheirNumbers) {
  const Vocabulary vocabulary;
  EXPECT_EQ(vocabulary.size(), Vocabulary::special_tokens);
  EXPECT_EQ(vocabulary.decode(Vocabulary::unknown), "<unk>");
  EXPECT_EQ(vocabulary.decode(Vocabulary::begin), "<bos>");
  EXPECT_EQ(vocabulary.decode(Vocabulary::end), "<eos>");
}

TEST(Vocabulary, RefusesSizesAndNumbersOutOfRange) {
  EXPECT_THROW(Vocabulary(some, 3), InvalidArgument);
  EXPECT_THROW(Vocabulary(some, -1), InvalidArgument);
  EXPECT_THROW(Vocabulary(some, std::int64_t{1} << 31), InvalidArgument);
  const Vocabulary vocabulary(some, 4);
  EXPECT_THROW(vocabulary.decode(4), InvalidArgument);
  EXPECT_THROW(vocabulary.decode(-1), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::loop
