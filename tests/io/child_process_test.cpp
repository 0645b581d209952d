#include "io/child_process.hpp"

#include <gtest/gtest.h>

#include <csignal>

#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using End = ChildResult::End;

ChildResult shell(const std::string& script, milliseconds timeout = seconds(20)) {
  return run_child({"sh", "-c", script}, timeout);
}

TEST(ChildProcess, GivesExitCodeAndOutput) {
  const ChildResult result = shell("printf 'a b'; echo c >&2; exit 65");
  EXPECT_EQ(result.end, End::exited);
  EXPECT_EQ(result.code, 65);
  EXPECT_EQ(result.output, "a b");
}

TEST(ChildProcess, ArgumentsArriveAsTheyAre) {
  EXPECT_EQ(run_child({"printf", "%s|", "a b", "$HOME", ""}, seconds(20)).output, "a b|$HOME||");
}

TEST(ChildProcess, GivesTheSignal) {
  const ChildResult result = shell("kill -SEGV $$");
  EXPECT_EQ(result.end, End::signalled);
  EXPECT_EQ(result.code, SIGSEGV);
}

TEST(ChildProcess, SignalsAreNotInherited) {
  const auto before = std::signal(SIGTERM, SIG_IGN);
  EXPECT_EQ(shell("kill -TERM $$; exit 0").end, End::signalled);
  std::signal(SIGTERM, before);
}

TEST(ChildProcess, IsKilledAtTheTimeout) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(shell("exec sleep 60", milliseconds(100)).end, End::timed_out);
  EXPECT_EQ(shell("exec sleep 60 >&-", milliseconds(100)).end, End::timed_out);  // pipe closed, alive
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(20));
}

TEST(ChildProcess, MuchOutputNeitherBlocksNorFillsMemory) {
  const ChildResult result = shell("head -c 1000000 /dev/zero; exit 3");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.output.size(), 65536U);
}

TEST(ChildProcess, AMissingProgramIsAnIoError) {
  EXPECT_THROW(run_child({"/no/such/program"}, seconds(20)), IoError);
}

}  // namespace
}  // namespace klmesh::io
