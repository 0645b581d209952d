#include <gtest/gtest.h>

#include "loop/partition.hpp"
#include "loop/rlhf_phase.hpp"

namespace klmesh::loop {
namespace {

TEST(Partition, PartsAreWholeUnitsThatFollowOneAnother) {
  for (const std::int64_t rows : {0, 1, 127, 128, 129, 1000}) {
    for (const std::int64_t unit : {1, 3, 128}) {
      for (const int parts : {1, 2, 3, 8}) {
        std::int64_t next = 0;
        for (int part = 0; part < parts; ++part) {
          const RowRange range = part_of_rows(rows, unit, part, parts);
          EXPECT_EQ(range.begin, next);
          EXPECT_GE(range.size(), 0);
          EXPECT_TRUE(range.end % unit == 0 || range.end == rows);
          next = range.end;
        }
        EXPECT_EQ(next, rows) << rows << " in units of " << unit << " over " << parts;
      }
    }
  }
}

TEST(Partition, IsEven) {
  EXPECT_EQ(part_of_rows(1000, 128, 0, 2).size(), 512);
  EXPECT_EQ(part_of_rows(1000, 128, 1, 2).size(), 488);
  EXPECT_EQ(part_of_rows(128, 128, 0, 2).size(), 0);  // more parts than units
  EXPECT_EQ(part_of_rows(128, 128, 1, 2).size(), 128);
}

TEST(SequenceUnit, FillsWholeTiles) {
  EXPECT_EQ(sequence_unit(1), 128);
  EXPECT_EQ(sequence_unit(16), 8);
  EXPECT_EQ(sequence_unit(12), 32);
  EXPECT_EQ(sequence_unit(3), 128);
  EXPECT_EQ(sequence_unit(128), 1);
  EXPECT_EQ(sequence_unit(256), 1);
}

}  // namespace
}  // namespace klmesh::loop
