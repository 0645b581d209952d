#include "cli/console.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "klmesh/error.hpp"

namespace klmesh::cli {
namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

std::string contents(std::FILE* file) {
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  return text;
}

TEST(Table, EveryLineThatIsNoDataBeginsWithAHash) {
  const File file(std::tmpfile());
  Table table(file.get(), {{"step", "", 6, 4}, {"kl_reverse", "nats", 4, 6}, {"arm", "", 6, 5}});
  table.comment("phase 3");
  table.header();
  table.row(std::vector<Cell>{std::int64_t{10}, 0.0123456, "none"});
  EXPECT_EQ(contents(file.get()),
            "# phase 3\n"
            "# step kl_reverse   arm\n"
            "#          (nats)      \n"
            "    10    0.01235  none\n");
}

TEST(Table, ARowFitsTheColumns) {
  const File file(std::tmpfile());
  Table table(file.get(), {{"step", ""}});
  EXPECT_THROW(table.row({}), InvalidArgument);
}

TEST(Table, AFullDeviceIsAnIoError) {
  const File full(std::fopen("/dev/full", "w"));
  ASSERT_NE(full, nullptr);
  Table table(full.get(), {{"step", ""}});
  EXPECT_THROW(table.header(), IoError);
}

TEST(Table, WithoutUnitsHasNoRowOfThem) {
  const File file(std::tmpfile());
  Table(file.get(), {{"a", "", 6, 1}}).header();
  EXPECT_EQ(contents(file.get()), "#  a\n");
}

}  // namespace
}  // namespace klmesh::cli
