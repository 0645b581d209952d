// How exchanges are cut: by shape alone, every row in one chunk, and not where it does not pay. Needs no GPU.
#include <gtest/gtest.h>

#include "engine/cuda/partial_layout.hpp"
#include "engine/cuda/row_chunks.hpp"

namespace klmesh {
namespace {

constexpr std::int64_t kVocab = 50'257;
constexpr ChunkLimits kEveryRow{.least_bytes = 1, .least_pairs = 1, .most_chunks = 1000};

ExchangePlan plan_of(std::int64_t rows, int parts, Schedule schedule, int part = 0) {
  return exchange_plan(rows, vocab_shard(kVocab, part, parts), {.schedule = schedule});
}
int count_of(std::int64_t rows, int parts, const ChunkLimits& limits = {}) {
  return row_chunks(plan_of(rows, parts, Schedule::automatic), vocab_shard(kVocab, 0, parts), limits).count;
}

TEST(RowChunks, AreOneWhereNothingIsHidden) {
  EXPECT_EQ(count_of(1 << 20, 1), 1);  // nothing travels
  EXPECT_EQ(count_of(0, 8), 1);
  EXPECT_EQ(count_of(1000, 8), 1);       // 0.7 MB
  EXPECT_EQ(count_of(10'000, 64), 1);    // of 785 columns: 7.9 M pairs
}

TEST(RowChunks, AreMoreForMoreRowsUpToEight) {
  EXPECT_EQ(count_of(65'536, 8), 5);  // by rows, 6 MB
  EXPECT_EQ(count_of(65'536, 2), 3);
  EXPECT_EQ(count_of(1 << 20, 8), 8);
  EXPECT_EQ(count_of(1 << 20, 8, {.most_chunks = 3}), 3);
}

TEST(RowChunks, CoverEveryRowOfABlockOnce) {
  for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
    for (std::int64_t rows = 1; rows < 40; ++rows) {
      for (int most = 1; most < 12; ++most) {
        ChunkLimits limits = kEveryRow;
        limits.most_chunks = most;
        const RowChunks chunks = row_chunks(plan_of(rows, 4, schedule), vocab_shard(kVocab, 0, 4), limits);
        EXPECT_LE(chunks.count, most);
        std::int64_t next = 0;
        for (int chunk = 0; chunk < chunks.count; ++chunk) {
          EXPECT_EQ(chunks.of_block(chunk).begin, next);
          EXPECT_GT(chunks.of_block(chunk).size(), 0);
          next = chunks.of_block(chunk).end;
        }
        EXPECT_EQ(next, chunks.block) << rows << " rows, at most " << most;
      }
    }
  }
}

TEST(RowChunks, AreTheSameOnAllRanks) {
  for (int part = 0; part < 5; ++part) {  // of unequal shards
    const RowChunks chunks =
        row_chunks(plan_of(30'000, 5, Schedule::by_rows, part), vocab_shard(kVocab, part, 5), {.least_pairs = 1 << 20});
    EXPECT_EQ(chunks.count, 2);
    EXPECT_EQ(chunks.rows, 3000);
  }
}

TEST(RowChunks, LieBehindEachOtherInABuffer) {
  const ExchangePlan plan = plan_of(37, 4, Schedule::by_rows);  // blocks of 10 rows
  ChunkLimits limits = kEveryRow;
  limits.most_chunks = 4;
  const RowChunks chunks = row_chunks(plan, vocab_shard(kVocab, 0, 4), limits);
  EXPECT_EQ(chunks.count, 4);  // of 3, 3, 3, 1 rows
  std::size_t next = 0;
  for (int chunk = 0; chunk < chunks.count; ++chunk) {
    const PartialLayout layout(plan, chunks, chunk, plan.parts);
    for (int block = 0; block < plan.parts; ++block) {
      EXPECT_EQ(layout.core_at(block), next);
      next += static_cast<std::size_t>(chunks.of_block(chunk).size()) * sizeof(RowPartial);
      EXPECT_EQ(layout.digest_at(block), next);
      next += sizeof(std::uint64_t);
    }
  }
  EXPECT_EQ(next, PartialLayout::buffer_bytes(plan, plan.parts, chunks.count));
}

}  // namespace
}  // namespace klmesh
