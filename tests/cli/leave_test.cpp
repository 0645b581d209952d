// However the ranks of a job fail: one message, the right code, and all of them end.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

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

TEST(Leave, AnInternalErrorSaysSoOnce) { expect_end("internal", 70, "klmesh: internal error: a defect\n"); }

// What no polling ends: the watchdog does, within two seconds after the deadline of 2 s. The launcher takes its time to
// end the others, who may say the same.
void expect_watched_end(const std::string& scene, const std::string& message) {
  const auto start = std::chrono::steady_clock::now();
  const Result result = run(fmt::format("{} -n 3 {} '{}'", KLMESH_MPIEXEC, KLMESH_LEAVE_PROGRAM, scene));
  EXPECT_EQ(result.code, 75) << result.err;
  EXPECT_THAT(result.err, ::testing::HasSubstr(message));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Leave, ARankThatIsBlockedInMpi) {
  expect_watched_end("stopped in MPI", "klmesh: rank 0: MPI_Comm_split number 7 did not return within 2.");
}
TEST(Leave, ARankThatStopsBeforeItLeaves) {
  expect_watched_end("stopped before leaving",
                     "klmesh: rank 0: leaving the job was not complete after 2.0 s: a peer is lost, stopped or elsewhere; no "
                     "word from rank 1\n");
}
TEST(Leave, ARankThatStopsAfterItLeft) {
  expect_watched_end("stopped at the end", "klmesh: rank 0: MPI_Finalize did not return within 2.");
}

// A process of the job that never initialises MPI.
TEST(Leave, ARankThatNeverComes) {
  const std::string command = fmt::format("{0} -n 1 sleep 40 : -n 1 {1} 'stopped in MPI'", KLMESH_MPIEXEC, KLMESH_LEAVE_PROGRAM);
  const Result result = run(command);
  EXPECT_EQ(result.code, 75) << result.err;
  EXPECT_THAT(result.err, ::testing::HasSubstr("klmesh: rank 1: MPI_Init_thread did not return within 3."));
}

}  // namespace
}  // namespace klmesh::cli::test
