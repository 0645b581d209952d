#include "cli/output_file.hpp"

#include <gtest/gtest.h>

#include "cli/process.hpp"
#include "klmesh/error.hpp"

namespace klmesh::cli::test {
namespace {

TEST(OutputFile, ReplacesAFile) {
  const ScratchDirectory scratch;
  const std::string path = scratch.write("out", "a longer old text");
  require_replaceable(path);
  write_output(path, "new");
  EXPECT_EQ(read_text(path), "new");
}

// Through a link of the test's own: what replaces it by mistake leaves the
// machine's device alone.
TEST(OutputFile, WritesToAStreamAndLeavesItOne) {
  const ScratchDirectory scratch;
  const std::filesystem::path null = scratch.path() / "null", full = scratch.path() / "full";
  std::filesystem::create_symlink("/dev/null", null);
  std::filesystem::create_symlink("/dev/full", full);
  require_writable(null);
  write_output(null, "text");
  EXPECT_THROW(write_output(full, "text"), IoError);
  for (const auto& stream : {null, full}) {
    EXPECT_TRUE(std::filesystem::is_character_file(stream));
    EXPECT_THROW(require_replaceable(stream), IoError);
  }
}

TEST(OutputFile, RefusesWhereNoFileCanBe) {
  const ScratchDirectory scratch;
  const std::string file = scratch.write("file", "");
  for (const std::string& path :
       {scratch.path().string(), file + "/below", (scratch.path() / "no" / "x").string(), std::string()}) {
    EXPECT_THROW(require_writable(path), IoError) << path;
    EXPECT_THROW(require_replaceable(path), IoError) << path;
  }
  require_writable("name_in_the_working_directory");
}

}  // namespace
}  // namespace klmesh::cli::test
