#include "io/generation.hpp"

#include <gmock/gmock.h>

#include <cerrno>
#include <functional>

#include "io/faulty_disk.hpp"
#include "io/generation_example.hpp"
#include "io/scratch_directory.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <typename E>
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing was thrown";
}

class Generation : public testing::Test {
 protected:
  /// A whole generation with the two files of the example.
  void commit(std::int64_t number, Disk& disk = posix_disk()) const {
    const auto directory = begin_generation(run_.path(), number);
    Manifest manifest = example_manifest();
    write_state_file(directory, "state-0.h5", bytes_of("abc"), disk);
    write_state_file(directory, "state-1.h5", bytes_of("defg"), disk);
    commit_generation(run_.path(), number, directory, manifest, disk);
  }
  std::filesystem::path path(std::int64_t number, std::string_view file = "") const {
    return generation_path(run_.path(), number) / file;
  }
  ScratchDirectory run_;
};

TEST_F(Generation, IsReadBackWhole) {
  commit(3);
  EXPECT_THAT(list_generations(run_.path()), ElementsAre(3));
  EXPECT_THAT(run_.names(), ElementsAre("gen-3"));
  const Manifest manifest = read_manifest(path(3));
  EXPECT_EQ(manifest, example_manifest());
  const auto bytes = read_state_file(path(3), manifest.files[1]);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "defg");
}

TEST_F(Generation, AFileSaysItsSizeAndHash) {
  const auto directory = begin_generation(run_.path(), 1);
  const StateFileEntry entry = write_state_file(directory, "state-0.h5", bytes_of("abc"));
  EXPECT_EQ(entry.name, "state-0.h5");
  EXPECT_EQ(entry.bytes, 3);
  EXPECT_EQ(entry.sha256, sha256_hex("abc"));
}

TEST_F(Generation, TheManifestComesLastAndTheDirectoryIsPutInPlaceThen) {
  FaultyDisk disk;
  const auto directory = begin_generation(run_.path(), 1);
  commit_generation(run_.path(), 1, directory, example_manifest(), disk);
  EXPECT_THAT(disk.calls, ElementsAre("open", "write", "fsync", "close", "rename", "open", "fsync directory", "close",
                                      "rename", "open", "fsync directory", "close"));
}

TEST_F(Generation, ListsTheNewestFirstAndNothingElse) {
  for (const std::int64_t number : {2, 10, 9}) commit(number);
  for (const char* name : {"gen-", "gen--1", "gen-7x", "gen-99999999999999999999", "xgen-1"}) {
    std::filesystem::create_directory(run_ / name);
  }
  begin_generation(run_.path(), 11);
  EXPECT_THAT(list_generations(run_.path()), ElementsAre(10, 9, 2));
  EXPECT_THAT(list_generations(run_ / "missing"), IsEmpty());
}

TEST_F(Generation, WhatACrashLeftIsEmptied) {
  write_text(begin_generation(run_.path(), 1) / "half", "x");
  EXPECT_TRUE(std::filesystem::is_empty(begin_generation(run_.path(), 1)));
}

TEST_F(Generation, IsRemoved) {
  commit(1);
  commit(2);
  remove_generation(run_.path(), 1);
  EXPECT_THAT(run_.names(), ElementsAre("gen-2"));
}

struct Fault {
  const char* name;
  std::function<void(FaultyDisk&)> inject;
};

class GenerationFault : public Generation, public testing::WithParamInterface<Fault> {};

TEST_P(GenerationFault, IsNotListedUnlessItIsWhole) {
  commit(1);
  FaultyDisk disk;
  GetParam().inject(disk);
  EXPECT_THAT(message_of<IoError>([&] { commit(2, disk); }), HasSubstr("gen-2"));
  EXPECT_THAT(list_generations(run_.path()), ElementsAre(1));
}

INSTANTIATE_TEST_SUITE_P(All, GenerationFault,
                         testing::Values(Fault{"open", [](FaultyDisk& disk) { disk.open_error = EACCES; }},
                                         Fault{"full", [](FaultyDisk& disk) { disk.capacity_bytes = 100; }},
                                         Fault{"fsync", [](FaultyDisk& disk) { disk.fsync_error = EIO; }},
                                         Fault{"close", [](FaultyDisk& disk) { disk.close_error = EDQUOT; }},
                                         Fault{"rename", [](FaultyDisk& disk) { disk.rename_error = EROFS; }}),
                         [](const testing::TestParamInfo<Fault>& fault) { return fault.param.name; });

TEST_F(Generation, NoticesDamage) {
  commit(1);
  const std::vector<StateFileEntry> files = example_manifest().files;
  write_text(path(1, "state-0.h5"), "abd");
  EXPECT_THAT(message_of<InvalidData>([&] { read_state_file(path(1), files[0]); }),
              AllOf(HasSubstr("gen-1/state-0.h5"), HasSubstr("damaged: its SHA-256")));
  write_text(path(1, "state-1.h5"), "def");
  EXPECT_THAT(message_of<InvalidData>([&] { read_state_file(path(1), files[1]); }),
              AllOf(HasSubstr("gen-1/state-1.h5"), HasSubstr("has 3 bytes, its manifest says 4")));
  std::filesystem::remove(path(1, "state-1.h5"));
  EXPECT_THAT(message_of<InputNotFound>([&] { read_state_file(path(1), files[1]); }), HasSubstr("gen-1/state-1.h5"));
  std::filesystem::create_directory(path(1, "state-1.h5"));
  EXPECT_THAT(message_of<Error>([&] { read_state_file(path(1), files[1]); }), HasSubstr("gen-1/state-1.h5"));
  std::filesystem::remove(path(1, "MANIFEST"));
  EXPECT_THAT(message_of<InputNotFound>([&] { read_manifest(path(1)); }), HasSubstr("gen-1/MANIFEST"));
}

}  // namespace
}  // namespace klmesh::io
