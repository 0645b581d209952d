#include "klmesh/column_set.hpp"

#include <gmock/gmock.h>

#include <vector>

#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::ElementsAre;
using testing::IsNan;

const ColumnSet columns({{"a", "1", "first"}, {"b", "nats", "second"}, {"c", "s", "third"}});

TEST(ColumnSet, PutsValuesInTheirPlacesAndNaNElsewhere) {
  EXPECT_THAT(columns.row(std::vector<NamedValue>{{"c", 3}, {"a", 1}}), ElementsAre(1, IsNan(), 3));
  EXPECT_THAT(columns.row({}), ElementsAre(IsNan(), IsNan(), IsNan()));
}

TEST(ColumnSet, RefusesValuesThatAreNotDeclaredOrTwice) {
  EXPECT_THROW(columns.row(std::vector<NamedValue>{{"d", 3}}), InvalidArgument);
  EXPECT_THROW(columns.row(std::vector<NamedValue>{{"a", 3}, {"a", 3}}), InvalidArgument);
}

TEST(ColumnSet, RefusesBadDeclarations) {
  const auto declare = [](const char* name) { ColumnSet({{"a", "1", ""}, {name, "1", ""}}); };
  for (const char* name : {"a", "", ".", "x/y", "x y", "\xC3\xBC"})
    EXPECT_THROW(declare(name), InvalidArgument) << name;
  EXPECT_NO_THROW(declare("Ab_9"));
}

}  // namespace
}  // namespace klmesh::io
