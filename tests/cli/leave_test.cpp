// However the ranks of a job fail: one message, the right code, and all of them end.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/process.hpp"

namespace klmesh::cli::test {
namespace {

void expect_end(const std::string& scene, int code, const std::string& message) {
  const Result result = run(fmt::format("{} -n 3 {} {}", KLMESH_MPIEXEC, KLMESH_LEAVE_PROGRAM, scene));
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(count(result.err, "klmesh: "), code == 0 ? 0 : 1) << result.err;
  EXPECT_THAT(result.err, ::testing::HasSubstr(message));
}

TEST(Leave, Success) { expect_end("none", 0, ""); }
TEST(Leave, AllFailAlike) { expect_end("agreed", 65, "klmesh: wrong everywhere"); }
TEST(Leave, OneFailsAtTheEnd) { expect_end("one", 74, "klmesh: disk full on rank 1"); }
TEST(Leave, ALostPeerAborts) { expect_end("lost", 75, "klmesh: peer lost"); }
TEST(Leave, TheCauseIsToldNotItsConsequence) { expect_end("cause", 74, "klmesh: the cause"); }
TEST(Leave, ARankLocalFailureEndsThoseWhoWait) { expect_end("local", 74, "klmesh: the cause"); }
TEST(Leave, OfTwoThatGiveUpTogetherOneSpeaks) { expect_end("timeouts", 75, "klmesh: the consequence"); }

}  // namespace
}  // namespace klmesh::cli::test
