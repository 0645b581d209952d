// The main of multi-rank GoogleTest programs. Runs alone too, as one rank, and with every --gtest_ option.
//
// Rank 0 prints the usual progress, the others their failures alone, led by their rank. All ranks exit
// non-zero if one of them failed. A test that hangs, as it does when a rank has left a collective by an
// exception, ends the job after KLMESH_TEST_SECONDS (100) and says where.
#include <gtest/gtest.h>
#include <mpi.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr int kHangExitCode = 75;

/// How long one test may take. A GPU runner may have to translate kernels first, so their tests say more.
unsigned test_seconds() {
  const char* seconds = std::getenv("KLMESH_TEST_SECONDS");
  return seconds == nullptr ? 100 : static_cast<unsigned>(std::strtoul(seconds, nullptr, 10));
}

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::fprintf(stderr, "mpi_main: %s failed with code %d\n", call, code);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

/// What to say if the alarm rings. Prepared beforehand, because a signal handler may not format.
class Watchdog {
 public:
  static void watch(const std::string& where) {
    ::alarm(0);
    const unsigned seconds = test_seconds();
    std::snprintf(message_, sizeof message_, "mpi_main: no end of %s after %u s\n", where.c_str(), seconds);
    std::signal(SIGALRM, &Watchdog::bark);
    ::alarm(seconds);
  }
  static void sleep() { ::alarm(0); }

 private:
  // MPI_Abort may not be called here; mpirun ends the job when a rank leaves with an error and without
  // finalising.
  static void bark(int) {
    if (::write(STDERR_FILENO, message_, std::strlen(message_)) < 0) ::_exit(kHangExitCode + 1);
    ::_exit(kHangExitCode);
  }
  static inline char message_[512];
};

/// Arms the watchdog for every test.
class HangListener final : public testing::EmptyTestEventListener {
 public:
  explicit HangListener(int rank) : rank_(rank) {}

 private:
  void OnTestStart(const testing::TestInfo& test) override {
    Watchdog::watch(std::string(test.test_suite_name()) + "." + test.name() + " on rank " +
                    std::to_string(rank_));
  }
  int rank_;
};

/// Prints the failures of one rank.
class FailureListener final : public testing::EmptyTestEventListener {
 public:
  explicit FailureListener(int rank) : rank_(rank) {}

 private:
  void OnTestStart(const testing::TestInfo& test) override {
    test_ = std::string(test.test_suite_name()) + "." + test.name();
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::printf("[rank %d] %s: %s:%d: %s\n", rank_, test_.c_str(),
                result.file_name() != nullptr ? result.file_name() : "unknown file", result.line_number(),
                result.message());
    std::fflush(stdout);
  }
  int rank_;
  std::string test_ = "outside of tests";
};

void install_listeners(int rank) {
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  listeners.Append(new HangListener(rank));
  if (rank == 0) return;
  delete listeners.Release(listeners.default_result_printer());
  delete listeners.Release(
      listeners.default_xml_generator());  // one report, not one per rank in the same file
  listeners.Append(new FailureListener(rank));
}

/// The ranks must run the tests in the same order.
void agree_on_shuffle() {
  int seed = GTEST_FLAG_GET(random_seed);
  if (seed == 0) seed = 1 + static_cast<int>(::getpid()) % 99999;
  check(MPI_Bcast(&seed, 1, MPI_INT, 0, MPI_COMM_WORLD), "MPI_Bcast");
  GTEST_FLAG_SET(random_seed, seed);
}

/// True if a rank failed; rank 0 says which. Collective.
bool any_failed(bool failed, int rank, int ranks) {
  const int mine = failed ? 1 : 0;
  std::vector<int> all(static_cast<std::size_t>(ranks));
  check(MPI_Allgather(&mine, 1, MPI_INT, all.data(), 1, MPI_INT, MPI_COMM_WORLD), "MPI_Allgather");
  bool any = false;
  for (int r = 0; r < ranks; ++r) {
    if (all[static_cast<std::size_t>(r)] == 0) continue;
    any = true;
    if (rank == 0) std::printf("[mpi_main] tests failed on rank %d of %d\n", r, ranks);
  }
  return any;
}

}  // namespace

int main(int argc, char** argv) {
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  testing::InitGoogleTest(&argc, argv);
  int rank = 0;
  int ranks = 1;
  check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  check(MPI_Comm_size(MPI_COMM_WORLD, &ranks), "MPI_Comm_size");
  if (provided < MPI_THREAD_SERIALIZED) {
    std::fprintf(stderr, "mpi_main: this MPI does not support MPI_THREAD_SERIALIZED\n");
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  agree_on_shuffle();
  install_listeners(rank);

  const bool failed = RUN_ALL_TESTS() != 0;
  Watchdog::watch("the last exchange on rank " + std::to_string(rank));
  const bool any = any_failed(failed, rank, ranks);
  std::fflush(stdout);
  check(MPI_Finalize(), "MPI_Finalize");
  Watchdog::sleep();
  return any ? 1 : 0;
}
