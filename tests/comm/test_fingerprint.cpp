#include <gtest/gtest.h>

#include <cstdint>
#include <set>

#include "comm/agreement.hpp"

namespace klmesh {
namespace {

std::uint64_t of(auto... values) {
  Fingerprint fingerprint;
  (fingerprint.add(values), ...);
  return fingerprint.value();
}

TEST(Fingerprint, TellsApartWhatDiffers) {
  const std::set<std::uint64_t> values = {
      of(),          of(0),         of(1),        of(-1),       of(0, 0),     of(1, 2), of(2, 1), of(1.0),
      of(0.1 + 0.2), of(0.3),       of("a", "b"), of("ab", ""), of("", "ab"), of("ab"), of("ba"), of(1 << 20),
      of(1 << 21),   of(1ll << 40), of("", 1),    of(1, ""),    of(0.0),      of(-0.0)};
  // 0 and +0.0 are the same eight bytes.
  EXPECT_EQ(values.size(), 21u);
}

TEST(Fingerprint, DoesNotDependOnTheWidthOfAnInteger) {
  EXPECT_EQ(of(std::int32_t{-7}), of(std::int64_t{-7}));
  EXPECT_EQ(of(7), of(std::size_t{7}));
  EXPECT_EQ(of("abc"), of(std::string_view("abc")));
}

TEST(Fingerprint, IsStable) { EXPECT_EQ(of("klmesh", 50257, 0.5), of("klmesh", 50257, 0.5)); }

}  // namespace
}  // namespace klmesh
