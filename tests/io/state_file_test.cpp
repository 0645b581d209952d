#include "io/state_file.hpp"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::byte> example() {
  StateWriter writer;
  writer.add<float>("weights", std::vector<float>{1, 2, 3, 4, 5, 6}, {3, 2});
  writer.add<std::int64_t>("steps", std::vector<std::int64_t>{-1, std::numeric_limits<std::int64_t>::max()}, {2, 1});
  writer.add<double>("nothing", {}, {0, 1});
  return writer.finish();
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const InvalidData& error) {
    return error.what();
  }
  return "";
}

TEST(StateFile, ReadsBackWhatWasWritten) {
  const StateReader reader("FILE", example());
  EXPECT_THAT(reader.read<float>("weights", {3, 2}), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(reader.read<std::int64_t>("steps", {-1, 1}), ElementsAre(-1, std::numeric_limits<std::int64_t>::max()));
  EXPECT_TRUE(reader.read<double>("nothing", {-1, 1}).empty());
}

TEST(StateFile, KeepsEveryBit) {
  const std::vector<std::uint32_t> bits{0x7fc12345u, 0xffc00001u, 0x80000000u, 0x00000001u, 0x7f800000u};
  std::vector<float> values;
  for (const std::uint32_t b : bits) values.push_back(std::bit_cast<float>(b));
  StateWriter writer;
  writer.add<float>("odd", values, {1, 5});
  std::vector<std::uint32_t> read;
  for (const float v : StateReader("FILE", writer.finish()).read<float>("odd", {1, 5})) {
    read.push_back(std::bit_cast<std::uint32_t>(v));
  }
  EXPECT_EQ(read, bits);
}

TEST(StateFile, TheSameArraysGiveTheSameBytes) { EXPECT_EQ(example(), example()); }

TEST(StateFile, RefusesWhatIsMissingOrOfAnotherTypeOrShape) {
  const StateReader reader("FILE", example());
  EXPECT_THAT(refusal([&] { reader.read<float>("bias", {1, 1}); }), HasSubstr("FILE: dataset bias: is missing"));
  EXPECT_THAT(refusal([&] { reader.read<float>("weights", {2, 3}); }), HasSubstr("is (3, 2), expected (2, 3)"));
  EXPECT_THAT(refusal([&] { reader.read<float>("weights", {-1, 3}); }), HasSubstr("expected (any, 3)"));
  EXPECT_THAT(refusal([&] { reader.read<double>("weights", {3, 2}); }), HasSubstr("has another type"));
  EXPECT_THAT(refusal([&] { reader.read<std::int32_t>("steps", {2, 1}); }), HasSubstr("has another type"));
}

TEST(StateFile, RefusesBytesThatAreNoHdf5) {
  const std::vector<std::byte> zeros(4096);
  EXPECT_THAT(refusal([&] { StateReader("FILE", zeros); }), HasSubstr("FILE"));
}

}  // namespace
}  // namespace klmesh::io
