// The main job from outside: the same record on every mesh, tokens dumped and replayed, failures told once.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/process.hpp"
#include "loop/small_corpus.hpp"

namespace klmesh::cli::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using Datasets = std::map<std::string, std::vector<std::uint64_t>>;

herr_t add_dataset(hid_t group, const char* name, const H5L_info_t*, void* datasets) {
  const hid_t data = H5Dopen2(group, name, H5P_DEFAULT);
  const hid_t space = H5Dget_space(data);
  std::vector<double> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
  const herr_t status = H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  H5Sclose(space);
  H5Dclose(data);
  auto& bits = (*static_cast<Datasets*>(datasets))[name];
  for (const double v : values) bits.push_back(std::isnan(v) ? ~std::uint64_t{0} : std::bit_cast<std::uint64_t>(v));
  return status;
}

/// All of /steps as bits, by name; every NaN is the same one.
Datasets steps_of(const std::filesystem::path& file) {
  Datasets datasets;
  const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  EXPECT_GE(id, 0) << file;
  if (id < 0) return datasets;
  EXPECT_GE(H5Literate_by_name(id, "/steps", H5_INDEX_NAME, H5_ITER_INC, nullptr, add_dataset, &datasets, H5P_DEFAULT), 0);
  H5Fclose(id);
  return datasets;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class Train : public ::testing::Test {
 protected:
  Train() {
    std::filesystem::create_directory(scratch_.path() / "texts");
    scratch_.write("texts/science", loop::small_texts('s', 120));
    scratch_.write("texts/songs", loop::small_texts('m', 120));
    config_ = scratch_.write("small.toml", fmt::format(R"([data]
paths = ["{}/texts"]
vocab_size = 300
validation_fraction = 0.15
heldout_fraction = 0.15
[model]
context = 2
embedding = 6
hidden = 10
[mle]
steps = 4
batch_tokens = 300
learning_rate = 0.02
evaluate_every = 2
[reward]
steps = 3
preferred = "science"
rejected = "songs"
pairs = 7
[rlhf]
steps = 3
arms = ["exact_reward", "none"]
sequences = 20
length = 7
learning_rate = 0.01
)", scratch_.path().string()));
  }

  std::string path(const std::string& name) const { return (scratch_.path() / name).string(); }

  /// `klmesh train` on a mesh; the run directory has the name `run`.
  Result train(const std::string& mesh, const std::string& run_name, const std::string& arguments) const {
    const int ranks = (mesh[0] - '0') * (mesh[2] - '0');
    const std::string launcher = ranks == 1 ? "" : fmt::format("{} -n {} ", KLMESH_MPIEXEC, ranks);
    return run(fmt::format("{}{} train {} --mesh {} --run {} {}", launcher, KLMESH_PROGRAM, config_, mesh,
                           path(run_name), arguments));
  }

  void expect_same_record(const std::string& run_name, const std::string& expected) const {
    for (const char* arm : {"", "arm-none/"}) {
      EXPECT_EQ(steps_of(path(run_name + "/" + arm + "statistics.h5")),
                steps_of(path(expected + "/" + arm + "statistics.h5")))
          << run_name << ' ' << arm;
      EXPECT_EQ(read_text(path(run_name + "/" + arm + "progress.jsonl")),
                read_text(path(expected + "/" + arm + "progress.jsonl")));
    }
  }

  /// On one rank and on four: the code, the message once, and an end long before any deadline.
  void expect_failure(int code, const std::string& message, const std::string& arguments) const {
    for (const char* mesh : {"1x1", "2x2"}) {
      SCOPED_TRACE(fmt::format("{} on {}", arguments, mesh));
      const auto start = std::chrono::steady_clock::now();
      const Result result = train(mesh, fmt::format("failed-{}", std::string(mesh)), arguments);
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
      EXPECT_EQ(result.code, code) << result.err;
      EXPECT_EQ(count(result.err, "klmesh: "), 1) << result.err;
      EXPECT_EQ(count(result.err, message), 1) << result.err;
      std::filesystem::remove_all(path(fmt::format("failed-{}", std::string(mesh))));
    }
  }

  ScratchDirectory scratch_;
  std::string config_;
};

class FirstPhase : public Train, public ::testing::WithParamInterface<int> {};

TEST_P(FirstPhase, TheSameRecordOnEveryMesh) {
  const std::string phase = fmt::format("--set loop.first_phase={} ", GetParam());
  for (const char* mesh : {"1x1", "2x2", "1x4"}) {
    const Result result = train(mesh, mesh, phase + fmt::format("--dump-tokens {}-{}", path("tokens"), mesh));
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(count(result.out, "# summary"), 1) << result.out;
  }
  for (const char* mesh : {"2x2", "1x4"}) {
    expect_same_record(mesh, "1x1");
    EXPECT_EQ(read_text(path(std::string("tokens-") + mesh)), read_text(path("tokens-1x1")));
  }
  const std::size_t steps_before_rlhf = GetParam() == 1 ? 7 : GetParam() == 2 ? 3 : 0;
  EXPECT_EQ(lines_of(read_text(path("1x1/progress.jsonl"))).size(), steps_before_rlhf + 3);
  EXPECT_EQ(lines_of(read_text(path("1x1/arm-none/progress.jsonl"))).size(), 3u);
  EXPECT_EQ(steps_of(path("1x1/statistics.h5"))["step"].size(), steps_before_rlhf + 3);
  EXPECT_EQ(lines_of(read_text(path("tokens-1x1"))).size(), 6u);
}

INSTANTIATE_TEST_SUITE_P(OneTwoThree, FirstPhase, ::testing::Values(1, 2, 3));

TEST_F(Train, StopsOnASignalAndGoesOnOnAnotherMesh) {
  const std::string longer = "--set mle.steps=400 --set mle.evaluate_every=0 --set checkpoint.every=50";
  ASSERT_EQ(train("1x1", "whole", longer).code, 0);
  const std::string stop = path("stop");
  const Result stopped = run(fmt::format(
      "bash -c '{} train {} --run {} {} & pid=$!; until grep -q . {}/progress.jsonl 2>/dev/null; do sleep 0.02; done; "
      "kill -USR1 $pid; wait $pid'",
      KLMESH_PROGRAM, config_, stop, longer, stop));
  EXPECT_EQ(stopped.code, 0) << stopped.err;
  ASSERT_THAT(stopped.out, HasSubstr("# stopped at phase 1 step "));
  EXPECT_THAT(stopped.out, HasSubstr("resume with: klmesh train --resume " + stop));

  const Result resumed = run(fmt::format("{} -n 2 {} train --resume {} --mesh 1x2", KLMESH_MPIEXEC, KLMESH_PROGRAM, stop));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.out, HasSubstr("# resumed after phase 1 step "));
  expect_same_record("stop", "whole");

  const Result other = run(fmt::format("{} train --resume {} --set rlhf.beta=9", KLMESH_PROGRAM, stop));
  EXPECT_EQ(other.code, 65);
  EXPECT_THAT(other.err, HasSubstr("rlhf.beta"));
  EXPECT_EQ(run(fmt::format("{} train --resume {}", KLMESH_PROGRAM, path("nowhere"))).code, 66);
  EXPECT_EQ(run(fmt::format("{} train --resume {} --run {}", KLMESH_PROGRAM, stop, path("other"))).code, 64);
}

TEST_F(Train, ReplayedTokensReproduceTheRun) {
  ASSERT_EQ(train("1x1", "sampled", "--dump-tokens " + path("tokens")).code, 0);
  // Another mesh, and a dump over the very file that is replayed.
  const std::string before = read_text(path("tokens"));
  const std::string both = fmt::format("--replay-tokens {0} --dump-tokens {0}", path("tokens"));
  const Result result = train("2x2", "replayed", both);
  ASSERT_EQ(result.code, 0) << result.err;
  expect_same_record("replayed", "sampled");
  EXPECT_EQ(read_text(path("tokens")), before);

  // It is the file that is used: with the sequences of its first two lines' steps exchanged, the run is another.
  std::string other = before;
  const std::size_t first = other.find("\"step\":1"), second = other.find("\"step\":2");
  other[first + 7] = '2';
  other[second + 7] = '1';
  const std::string exchanged = scratch_.write("exchanged", other);
  ASSERT_EQ(train("1x1", "other", "--replay-tokens " + exchanged).code, 0);
  EXPECT_NE(read_text(path("other/progress.jsonl")), read_text(path("sampled/progress.jsonl")));
}

TEST_F(Train, TablesAreDataAndAllElseIsCommented) {
  const Result result = train("1x1", "run", "--set loop.report_every=1");
  ASSERT_EQ(result.code, 0) << result.err;
  int rows = 0;
  for (const std::string& line : lines_of(result.out)) {
    if (line.starts_with('#')) continue;
    ++rows;
    EXPECT_EQ(line.find_first_not_of(" 0123456789.+-einfa"), std::string::npos) << line;
  }
  EXPECT_EQ(rows, 4 + 3 + 2 * 3);
  EXPECT_THAT(result.out, AllOf(HasSubstr("vocabulary "), HasSubstr("held-out loss "), HasSubstr("arm exact_reward: "),
                                HasSubstr("arm none: "), HasSubstr("# before: "), HasSubstr("run/statistics.h5")));
}

TEST_F(Train, DumpedLogitsEvaluateToWhatWasRecorded) {
  for (const char* mesh : {"1x1", "2x2"}) {
    const Result trained = train(mesh, mesh, "--dump-logits 3:2");
    ASSERT_EQ(trained.code, 0) << trained.err;
    const std::string run_path = path(mesh);
    for (const std::string arm : {"/", "/arm-none/"}) {
      const Result result =
          run(fmt::format("{} eval {}{}logits-3-2.h5 --json -", KLMESH_PROGRAM, run_path, arm));
      ASSERT_EQ(result.code, 0) << result.err;
      const auto json = nlohmann::json::parse(result.out);
      Datasets steps = steps_of(run_path + arm + "statistics.h5");
      const std::size_t step = steps["step"].size() - 2;  // of 3 in the last phase
      for (const char* q : {"kl_reverse", "kl_forward", "k1", "k2", "k3"}) {
        const auto& entry = json["exact"].contains(q) ? json["exact"][q] : json["estimators"][q];
        EXPECT_EQ(entry["mean"].get<double>(), std::bit_cast<double>(steps[std::string(q) + "_mean"][step])) << q;
        EXPECT_EQ(entry["stderr_clustered"].get<double>(),
                  std::bit_cast<double>(steps[std::string(q) + "_stderr_clustered"][step]))
            << q;
      }
    }
  }
}

TEST_F(Train, AStepToDumpThatIsNotRun) {
  expect_failure(64, "phase 3 has 3 steps", "--dump-logits 3:4");
  expect_failure(64, "phase 1 has 0 steps", "--dump-logits 1:1 --set loop.first_phase=2");
}

TEST_F(Train, ReplaysThatDoNotFit) {
  ASSERT_EQ(train("1x1", "run", "--set loop.first_phase=3 --dump-tokens " + path("tokens")).code, 0);
  const std::string replay = "--set loop.first_phase=3 --replay-tokens " + path("tokens");
  expect_failure(65, "has 20 sequences, the run 24", replay + " --set rlhf.sequences=24");
  expect_failure(65, "has 7 tokens, the run 5", replay + " --set rlhf.length=5");
  expect_failure(65, "arm exact_reward, step 4 is not in the file", replay + " --set rlhf.steps=4");
  expect_failure(66, path("nowhere"), "--replay-tokens " + path("nowhere"));
}

// In its last sequence alone, which one of two batch parts owns.
TEST_F(Train, AReplayThatFitsOnePartOnly) {
  ASSERT_EQ(train("1x1", "run", "--set loop.first_phase=3 --dump-tokens " + path("tokens")).code, 0);
  std::string text = read_text(path("tokens"));
  text.replace(text.find("]]"), 2, ",2]]");
  const std::string longer = scratch_.write("longer", text);
  expect_failure(65, "step 1, sequence 19 has 8 tokens, the run 7",
                 "--set loop.first_phase=3 --replay-tokens " + longer);
}

TEST_F(Train, WhatCannotBeWritten) {
  const std::string phase3 = "--set loop.first_phase=3 ";
  expect_failure(74, "/nonexistent/tokens", phase3 + "--dump-tokens /nonexistent/tokens");
  expect_failure(74, "/dev/full", phase3 + "--dump-tokens /dev/full");
  expect_failure(74, "small.toml/run", "--run " + path("small.toml") + "/run");
}

// A thing that only rank 0 meets in mid-run: the others wait inside an exchange.
TEST_F(Train, AFullDiskUnderStdout) {
  const std::string command = fmt::format(
      "sh -c '{} -n 1 sh -c \"exec {} train {} --mesh 3x1 --run {} >/dev/full\" : -n 2 {} train {} --mesh 3x1 --run {}'",
      KLMESH_MPIEXEC, KLMESH_PROGRAM, config_, path("run"), KLMESH_PROGRAM, config_, path("run"));
  const Result result = run(command);
  EXPECT_EQ(result.code, 74) << result.err;
  EXPECT_EQ(count(result.err, "klmesh: "), 1) << result.err;
}

TEST_F(Train, DataThatAreNotThere) {
  expect_failure(66, path("nowhere"), fmt::format("--set 'data.paths=[\"{}\"]'", path("nowhere")));
  expect_failure(65, "the subjects are: science, songs", "--set reward.preferred=sience --set mle.steps=1");
}

}  // namespace
}  // namespace klmesh::cli::test
