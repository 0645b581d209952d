#include "io/commit.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cerrno>
#include <functional>
#include <string>

#include "io/faulty_disk.hpp"
#include "io/scratch_directory.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// The message of the IoError that `call` throws, or "" if it throws none.
std::string io_error(const std::function<void()>& call) {
  try {
    call();
  } catch (const IoError& error) {
    return error.what();
  }
  return "";
}

TEST(Commit, WritesAndReplaces) {
  const ScratchDirectory directory;
  commit_file(directory / "a", bytes_of("old and longer"));
  commit_file(directory / "a", bytes_of("new"));
  EXPECT_EQ(read_text(directory / "a"), "new");
  EXPECT_THAT(directory.names(), ElementsAre("a"));
}

TEST(Commit, WritesAnEmptyFile) {
  const ScratchDirectory directory;
  commit_file(directory / "a", {});
  EXPECT_TRUE(std::filesystem::exists(directory / "a"));
  EXPECT_EQ(read_text(directory / "a"), "");
}

TEST(Commit, TakesABareNameAsInTheCurrentDirectory) {
  const ScratchDirectory directory;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(directory.path());
  const std::string error = io_error([] { commit_file("a", bytes_of("x")); });
  std::filesystem::current_path(before);
  EXPECT_EQ(error, "");
  EXPECT_EQ(read_text(directory / "a"), "x");
}

TEST(Commit, SyncsTheFileBeforeTheRenameAndTheDirectoryAfter) {
  const ScratchDirectory directory;
  FaultyDisk disk;
  commit_file(directory / "a", bytes_of("x"), disk);
  EXPECT_THAT(disk.calls,
              ElementsAre("open", "write", "fsync", "close", "rename", "open", "fsync directory", "close"));
}

TEST(Commit, SurvivesShortWritesAndInterrupts) {
  const ScratchDirectory directory;
  FaultyDisk disk;
  disk.bytes_per_write = 3;
  disk.interrupts = true;
  commit_file(directory / "a", bytes_of("ten bytes!"), disk);
  EXPECT_EQ(read_text(directory / "a"), "ten bytes!");
}

TEST(Commit, NamesThePathOfADirectoryThatIsMissing) {
  const ScratchDirectory directory;
  const std::filesystem::path path = directory / "missing/statistics.h5";
  EXPECT_THAT(io_error([&] { commit_file(path, bytes_of("x")); }),
              AllOf(HasSubstr(path.string()), HasSubstr("No such file or directory")));
}

TEST(Commit, NamesThePathOfADirectoryThatCannotBeWritten) {
  // Not even root may make files there.
  EXPECT_THAT(io_error([] { commit_file("/proc/statistics.h5", bytes_of("x")); }),
              HasSubstr("/proc/statistics.h5"));
}

TEST(Commit, DoesNotReplaceADirectory) {
  const ScratchDirectory directory;
  std::filesystem::create_directory(directory / "a");
  EXPECT_THAT(io_error([&] { commit_file(directory / "a", bytes_of("x")); }),
              HasSubstr((directory / "a").string()));
  EXPECT_THAT(directory.names(), ElementsAre("a"));
}

TEST(Commit, FollowsASymbolicLink) {
  const ScratchDirectory directory;
  std::filesystem::create_directory(directory / "elsewhere");
  write_text(directory / "elsewhere/file", "old");
  std::filesystem::create_symlink("elsewhere/file", directory / "a");
  commit_file(directory / "a", bytes_of("new"));
  EXPECT_TRUE(std::filesystem::is_symlink(directory / "a"));
  EXPECT_EQ(read_text(directory / "elsewhere/file"), "new");
  // To a file that is not there yet, too.
  std::filesystem::create_symlink("elsewhere/other", directory / "b");
  commit_file(directory / "b", bytes_of("x"));
  EXPECT_EQ(read_text(directory / "elsewhere/other"), "x");
  EXPECT_TRUE(std::filesystem::is_symlink(directory / "b"));
}

TEST(Commit, DoesNotGoRoundInCircles) {
  const ScratchDirectory directory;
  std::filesystem::create_symlink("a", directory / "a");
  EXPECT_THAT(io_error([&] { commit_file(directory / "a", bytes_of("x")); }), HasSubstr((directory / "a").string()));
}

TEST(Commit, DoesNotReplaceADeviceOrAPipe) {
  EXPECT_THAT(io_error([] { commit_file("/dev/null", bytes_of("x")); }), HasSubstr("/dev/null: is not a regular file"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  const ScratchDirectory directory;
  ASSERT_EQ(mkfifo((directory / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("pipe", directory / "link");
  for (const char* name : {"pipe", "link"}) {
    EXPECT_THAT(io_error([&] { commit_file(directory / name, bytes_of("x")); }), HasSubstr("is not a regular file"));
  }
  EXPECT_TRUE(std::filesystem::is_fifo(directory / "pipe"));
}

struct Fault {
  const char* name;
  std::function<void(FaultyDisk&)> inject;
  const char* text;
};

class CommitFault : public testing::TestWithParam<Fault> {};

TEST_P(CommitFault, LeavesTheOldFileAndNoTemporary) {
  const ScratchDirectory directory;
  write_text(directory / "a", "old");
  FaultyDisk disk;
  GetParam().inject(disk);
  EXPECT_THAT(io_error([&] { commit_file(directory / "a", bytes_of("new content"), disk); }),
              AllOf(HasSubstr((directory / "a").string()), HasSubstr(GetParam().text)));
  EXPECT_EQ(read_text(directory / "a"), "old");
  EXPECT_THAT(directory.names(), ElementsAre("a"));
}

INSTANTIATE_TEST_SUITE_P(
    All, CommitFault,
    testing::Values(
        Fault{"open", [](FaultyDisk& disk) { disk.open_error = EACCES; }, "Permission denied"},
        Fault{"write_at_once", [](FaultyDisk& disk) { disk.capacity_bytes = 0; }, "No space left on device"},
        Fault{"write_half_way", [](FaultyDisk& disk) { disk.capacity_bytes = 5; }, "No space left on device"},
        Fault{"write_of_nothing", [](FaultyDisk& disk) { disk.writes_nothing = true; }, "Input/output error"},
        Fault{"fsync", [](FaultyDisk& disk) { disk.fsync_error = EIO; }, "Input/output error"},
        Fault{"fsync_unsupported", [](FaultyDisk& disk) { disk.fsync_error = EINVAL; }, "Invalid argument"},
        Fault{"close", [](FaultyDisk& disk) { disk.close_error = EDQUOT; }, "Disk quota exceeded"},
        Fault{"rename", [](FaultyDisk& disk) { disk.rename_error = EROFS; }, "Read-only file system"}),
    [](const testing::TestParamInfo<Fault>& fault) { return fault.param.name; });

TEST(Commit, ReportsADirectoryThatCannotBeSynced) {
  const ScratchDirectory directory;
  FaultyDisk disk;
  disk.directory_fsync_error = EIO;
  EXPECT_THAT(io_error([&] { commit_file(directory / "a", bytes_of("new"), disk); }),
              HasSubstr("Input/output error"));
  EXPECT_EQ(read_text(directory / "a"), "new");
  EXPECT_THAT(directory.names(), ElementsAre("a"));
}

TEST(Commit, AcceptsAFileSystemWithoutFsyncOfDirectories) {
  const ScratchDirectory directory;
  FaultyDisk disk;
  disk.directory_fsync_error = EINVAL;
  EXPECT_EQ(io_error([&] { commit_file(directory / "a", bytes_of("new"), disk); }), "");
}

}  // namespace
}  // namespace klmesh::io
