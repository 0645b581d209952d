// The table of keys covers TrainConfig, and its defaults keep its own limits.
#include "cli/config_fields.hpp"

#include <gtest/gtest.h>

#include <set>

namespace klmesh::cli {
namespace {

TEST(ConfigFields, DefaultsAreWithinLimits) {
  const loop::TrainConfig defaults;
  for (const Field& field : config_fields()) EXPECT_EQ(limit_problem(field, defaults), "") << field.key;
}

TEST(ConfigFields, EveryKeyHasAMemberOfItsOwn) {
  loop::TrainConfig config;
  std::set<std::string_view> keys;
  std::set<const void*> members;
  for (const Field& field : config_fields()) {
    keys.insert(field.key);
    std::visit([&](const auto* member) { members.insert(member); }, field.member(config));
  }
  EXPECT_EQ(keys.size(), config_fields().size());
  EXPECT_EQ(members.size(), config_fields().size());
}

// A member added to TrainConfig without a key changes its size. Padding may hide a small one: a reminder, no
// proof.
TEST(ConfigFields, TableCoversTheStruct) {
  loop::TrainConfig config;
  std::size_t bytes = 0;
  for (const Field& field : config_fields()) {
    std::visit([&](const auto* member) { bytes += sizeof(*member); }, field.member(config));
  }
  EXPECT_LE(sizeof(config) - bytes, 8u);
}

TEST(ConfigFields, SectionsAreContiguous) {
  std::set<std::string_view> seen;
  std::string_view section;
  for (const Field& field : config_fields()) {
    if (section_of(field.key) == section) continue;
    section = section_of(field.key);
    EXPECT_TRUE(seen.insert(section).second) << section << " is printed twice";
  }
}

}  // namespace
}  // namespace klmesh::cli
