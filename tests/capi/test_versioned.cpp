// Callers of other versions: structs that are shorter or longer than this version's.
#include <gmock/gmock.h>

#include <array>
#include <limits>

#include "capi/versioned.hpp"

namespace klmesh::capi {
struct Grown {  // had `first` alone, once
  std::size_t struct_size;
  std::int64_t first;
  std::int64_t second;
};
template <>
inline constexpr std::size_t kFirstVersionBytes<Grown> = 16;

namespace {

struct Longer {
  Grown known;
  std::int64_t unknown;
};

std::string error_of(const Grown* grown) {
  try {
    read(grown, "grown");
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

TEST(Versioned, an_old_caller_gets_zero_for_what_it_does_not_know) {
  const Grown old{16, 5, 77};  // the 77 lies behind the old struct
  const Grown read_back = read(&old, "grown");
  EXPECT_EQ(read_back.first, 5);
  EXPECT_EQ(read_back.second, 0);
}

TEST(Versioned, an_old_caller_is_not_written_beyond_its_struct) {
  Grown old{16, 0, 77};
  write(Grown{0, 5, 6}, &old, "grown");
  EXPECT_EQ(old.struct_size, 16u);
  EXPECT_EQ(old.first, 5);
  EXPECT_EQ(old.second, 77);
}

TEST(Versioned, a_newer_caller_may_not_ask_for_what_is_unknown) {
  Longer newer{{sizeof(Longer), 5, 6}, 0};
  EXPECT_EQ(read(&newer.known, "grown").second, 6);
  newer.unknown = 1;
  EXPECT_THAT(error_of(&newer.known), testing::HasSubstr("grown has fields set that this version"));
}

TEST(Versioned, a_newer_caller_reads_zero_where_this_version_knows_nothing) {
  Longer newer{{sizeof(Longer), 0, 0}, 77};
  write(Grown{0, 5, 6}, &newer.known, "grown");
  EXPECT_EQ(newer.known.second, 6);
  EXPECT_EQ(newer.unknown, 0);
}

TEST(Versioned, sizes_that_no_version_has_are_refused) {
  for (const std::size_t size :
       std::array<std::size_t, 4>{0, 15, 16 * sizeof(Grown) + 1, std::numeric_limits<std::size_t>::max()}) {
    const Grown wrong{size, 0, 0};
    EXPECT_THAT(error_of(&wrong), testing::HasSubstr("grown has " + std::to_string(size) + " bytes, expected 24"));
  }
  EXPECT_EQ(error_of(nullptr), "grown is NULL");
}

}  // namespace
}  // namespace klmesh::capi
