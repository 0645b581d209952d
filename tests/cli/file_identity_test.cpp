#include "cli/file_identity.hpp"

#include <gmock/gmock.h>

#include <string>

#include "cli/scratch_directory.hpp"

namespace klmesh::cli {
namespace {

using ::testing::StartsWith;

TEST(FileIdentity, IsThatOfTheContents) {
  const test::ScratchDirectory scratch;
  const std::string a = file_identity(scratch.write("a", "contents"));
  EXPECT_THAT(a, StartsWith("8 bytes, contents "));
  EXPECT_EQ(file_identity(scratch.write("b", "contents")), a);
  EXPECT_NE(file_identity(scratch.write("c", "contentz")), a);
  EXPECT_NE(file_identity(scratch.write("d", "contents.")), a);
}

TEST(FileIdentity, OfALargeFileLooksAtAllParts) {
  const test::ScratchDirectory scratch;
  std::string large(std::size_t{40} << 20, 'x');
  const std::string before = file_identity(scratch.write("a", large));
  EXPECT_EQ(file_identity(scratch.write("a", large)), before);
  for (const std::size_t at : {std::size_t{0}, large.size() - 1, large.size() / 480 * 100 + 10}) {
    std::string other = large;
    other[at] = 'y';
    EXPECT_NE(file_identity(scratch.write("b", other)), before) << at;
  }
  // Another region altogether, as another file has.
  std::string other = large;
  other.replace(large.size() / 2, 1 << 18, 1 << 18, 'z');
  EXPECT_NE(file_identity(scratch.write("b", other)), before);
}

TEST(FileIdentity, SaysWhyThereIsNone) {
  EXPECT_EQ(file_identity("/nonexistent"), "cannot be read: No such file or directory");
  EXPECT_EQ(file_identity("/dev/null"), "not a regular file");
  EXPECT_EQ(file_identity("/tmp"), "not a regular file");
}

}  // namespace
}  // namespace klmesh::cli
