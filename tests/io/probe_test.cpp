#include "io/probe.hpp"

#include <gmock/gmock.h>

#include <string>

#include "io/logits_examples.hpp"
#include "io/python.hpp"
#include "io/scratch_directory.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

template <typename E>
std::string message_of(const std::string& program, const std::filesystem::path& path,
                       milliseconds timeout = seconds(60)) {
  try {
    probe_in_child(program, path, timeout);
    ADD_FAILURE() << "accepted";
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

// A program that does what `script` says, whatever its arguments.
std::string program(const ScratchDirectory& directory, const std::string& script) {
  const std::filesystem::path path = directory / "program";
  write_text(path, "#!/bin/sh\n" + script + "\n");
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path.string();
}

TEST(Probe, AcceptsGoodFiles) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  for (const char* name : {"f16_be", "bf16_variable", "gzip", "checksum", "gzip_checksum", "shuffled",
                           "companions", "logp_masked", "no_rows", "large_sparse"})
    EXPECT_NO_THROW(probe_in_child(KLMESH_PROBE_PROGRAM, logits_example(name), seconds(60))) << name;
}

TEST(Probe, PassesTheMessageAndItsClassOn) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  const std::string path = logits_example("lzf").string();
  EXPECT_EQ(
      message_of<InvalidData>(KLMESH_PROBE_PROGRAM, path),
      path + ": dataset reference_logits: needs filter 32000; only gzip, shuffle and fletcher32 are read");
  EXPECT_THAT(message_of<InvalidData>(KLMESH_PROBE_PROGRAM, logits_example("half")), HasSubstr("truncated"));
}

TEST(Probe, ReadsFirstAndLastRow) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  const ScratchDirectory directory;
  for (const int row : {0, 6}) {
    run_python(
        "import sys, h5py\nwith h5py.File(sys.argv[1], 'w') as f:\n"
        "    f['logp_policy'] = f['logp_reference'] = [-1.0] * 7\n"
        "    f['logp_policy'][" +
            std::to_string(row) + "] = 1\n",
        (directory / "x.h5").string());
    EXPECT_THAT(message_of<InvalidData>(KLMESH_PROBE_PROGRAM, directory / "x.h5"),
                HasSubstr("row " + std::to_string(row)));
  }
}

TEST(Probe, FindsAChunkOfTheWrongLength) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  for (const char* name : {"chunk_short", "chunk_long"})
    EXPECT_THAT(message_of<InvalidData>(KLMESH_PROBE_PROGRAM, logits_example(name)),
                HasSubstr("reference_logits: corrupt: the chunk of row 6, column 4 does not hold 24 bytes"));
}

TEST(Probe, AMissingFileIsNotFound) {
  EXPECT_EQ(message_of<InputNotFound>(KLMESH_PROBE_PROGRAM, "/no/such.h5"),
            "/no/such.h5: No such file or directory");
}

TEST(Probe, ACrashIsInvalidData) {
  const ScratchDirectory directory;
  EXPECT_EQ(message_of<InvalidData>(program(directory, "kill -SEGV $$"), "x.h5"),
            "x.h5: crashes the HDF5 reader (signal 11)");
}

TEST(Probe, AHangIsInvalidData) {
  const ScratchDirectory directory;
  EXPECT_THAT(message_of<InvalidData>(program(directory, "exec sleep 60"), "x.h5", milliseconds(200)),
              StartsWith("x.h5: hangs the HDF5 reader"));
}

TEST(Probe, GivesTheOptionAndThePath) {
  const ScratchDirectory directory;
  EXPECT_EQ(message_of<IoError>(program(directory, "printf '%s|' \"$@\"; exit 74"), "a b"),
            "--probe-logits-file|a b|");
}

TEST(Probe, AProgramThatCannotProbeIsAnIoError) {
  const ScratchDirectory directory;
  EXPECT_THAT(message_of<IoError>(program(directory, "exit 3"), "x.h5"),
              AllOf(HasSubstr("cannot be checked"), HasSubstr("exited with 3")));
  EXPECT_THROW(probe_in_child("/no/such/program", "x.h5", seconds(60)), IoError);
}

}  // namespace
}  // namespace klmesh::io
