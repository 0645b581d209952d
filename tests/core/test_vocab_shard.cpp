#include "klmesh/vocab_shard.hpp"

#include <gmock/gmock.h>

#include "klmesh/error.hpp"

namespace klmesh {
namespace {

TEST(VocabShard, PartsTileTheVocabularyInWholeSlices) {
  for (const std::int64_t vocab : {1, 15, 16, 17, 63, 64, 1000, 1023, 1025, 32000, 50257, 128256, 151936}) {
    for (int parts = 1; parts <= 64; ++parts) {
      std::int64_t next = 0;
      int next_slice = 0;
      for (int part = 0; part < parts; ++part) {
        const VocabShard shard = vocab_shard(vocab, part, parts);
        EXPECT_EQ(shard.begin, next);
        EXPECT_EQ(shard.first_slice, next_slice);
        EXPECT_TRUE(shard.begin % 16 == 0 || shard.begin == vocab);
        next = shard.end;
        next_slice = shard.last_slice;
      }
      EXPECT_EQ(next, vocab);
      EXPECT_EQ(next_slice, kVocabSlices);
    }
  }
}

TEST(VocabShard, TheEvenSplitOfTrainersIsWholeSlices) {
  for (const std::int64_t vocab : {32000, 128256, 129280, 151936, 152064, 201088}) {
    for (const int parts : {2, 4, 8}) {
      for (int part = 0; part < parts; ++part) {
        EXPECT_EQ(vocab_shard(vocab, part, parts).begin, vocab / parts * part) << vocab << " over " << parts;
      }
    }
  }
}

TEST(VocabShard, RefusesWhatCannotBe) {
  EXPECT_THROW(vocab_shard(0, 0, 1), InvalidArgument);
  EXPECT_THROW(vocab_shard(10, 0, 0), InvalidArgument);
  EXPECT_THROW(vocab_shard(10, 0, 65), InvalidArgument);
  EXPECT_THROW(vocab_shard(10, 2, 2), InvalidArgument);
  EXPECT_THROW(vocab_shard(10, -1, 2), InvalidArgument);
}

TEST(VocabShard, WholeSubtrees) {
  for (const int parts : {1, 2, 4, 8, 16, 32, 64}) EXPECT_TRUE(is_whole_subtrees(parts));
  for (const int parts : {0, 3, 6, 12, 63, 128}) EXPECT_FALSE(is_whole_subtrees(parts));
}

}  // namespace
}  // namespace klmesh
