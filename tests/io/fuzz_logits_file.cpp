// Opens and reads damaged files, each in a child. None may end in anything but success, one of our errors, or
// a crash or hang that the probe reports as bad data.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <vector>

#include "io/logits_examples.hpp"
#include "io/mutation.hpp"
#include "io/probe.hpp"
#include "io/python.hpp"
#include "io/read_all.hpp"
#include "io/scratch_directory.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int mutations = 2000;
constexpr auto time_limit = std::chrono::seconds(20);  // what is left then is skipped: machines differ
constexpr itimerval cpu_time{{0, 0}, {0, 300'000}};    // 0.3 s, then SIGPROF
constexpr std::chrono::milliseconds patience{30'000}, short_patience{300};
constexpr int accepted = 0, refused = 1, other_error = 2;

int outcome_of(const std::filesystem::path& path) {
  try {
    read_all(LogitsFile::open(path));
    return accepted;
  } catch (const InvalidData&) {
    return refused;
  } catch (const std::exception&) {
    return other_error;
  }
}

/// @return an exit code of the above, or minus the signal that ended the child
int outcome_in_child(const std::filesystem::path& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit core{0, 0};
    ::setrlimit(RLIMIT_CORE, &core);
    ::setitimer(ITIMER_PROF, &cpu_time, nullptr);
    ::_exit(outcome_of(path));
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

// The error that the probe gives, or "" if it accepts.
std::string probe(const std::filesystem::path& path, std::chrono::milliseconds timeout) {
  try {
    probe_in_child(KLMESH_PROBE_PROGRAM, path, timeout);
    return "";
  } catch (const InvalidData& error) {
    return error.what();
  }
}

std::vector<std::string> originals() {
  std::vector<std::string> files;
  for (const char* name :
       {"f32_le", "gzip", "latest", "companions", "booleans", "bf16_variable", "padded", "logp"})
    files.push_back(read_text(logits_example(name)));
  return files;
}

TEST(FuzzLogitsFile, EveryDamagedFileIsReadOrRefused) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  ASSERT_GE(H5open(), 0);  // once here instead of once in every child
  const ScratchDirectory directory;
  const std::filesystem::path path = directory / "damaged.h5";
  Mutator mutator(originals(), 20240229);
  std::map<int, int> counts;
  const auto start = Clock::now();
  int done = 0, unseen = 0;
  for (; done < mutations && Clock::now() - start < time_limit; ++done) {
    write_text(path, mutator.next());
    const int outcome = outcome_in_child(path);
    ++counts[outcome];
    EXPECT_NE(outcome, other_error) << "mutation " << done;
    if (outcome >= 0 && done % 100 != 0) continue;
    std::string verdict;
    EXPECT_NO_THROW(verdict = probe(path, outcome < 0 ? short_patience : patience)) << "mutation " << done;
    if (outcome == accepted) {
      EXPECT_EQ(verdict, "") << "mutation " << done;
    }
    if (outcome < 0 && verdict.empty()) ++unseen;
  }
  for (const auto& [outcome, count] : counts) RecordProperty("outcome " + std::to_string(outcome), count);
  // Mutations that did nothing but harm, or none, would show that the reader is never reached.
  EXPECT_GT(counts[accepted], done / 50);
  EXPECT_GT(counts[refused], done / 50);
  // The probe reads little: a crash further inside may escape it, but that must stay rare.
  EXPECT_LE(unseen, done / 500);
}

}  // namespace
}  // namespace klmesh::io
