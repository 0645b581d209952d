// `klmesh eval` from outside: the report, the streams, and every kind of bad input told once, on one rank and on four.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>
#include <vector>

#include "cli/process.hpp"
#include "klmesh/eval_file.hpp"

namespace klmesh::cli::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

constexpr std::int64_t rows = 6, columns = 20;

// Small, and different in every row; row 4 is masked and holds a NaN that
// nobody may mind.
struct Logits {
  std::vector<float> policy, reference;
  std::vector<std::int64_t> targets{0, 1, 2, 3, 99, 5};
  std::vector<std::uint8_t> mask{1, 1, 1, 1, 0, 1};
  std::vector<std::int64_t> sequence{7, 7, 3, 3, 3, 9};

  Logits() {
    for (int i = 0; i < rows * columns; ++i) {
      policy.push_back(static_cast<float>(std::sin(i)));
      reference.push_back(static_cast<float>(std::sin(i) + 0.25 * std::cos(3 * i)));
    }
    policy[4 * columns + 3] = std::numeric_limits<float>::quiet_NaN();
  }
};

// KL[policy || reference] of a row, in nats.
double kl_of(const Logits& logits, int row) {
  long double a = 0, b = 0, kl = 0;
  for (int v = 0; v < columns; ++v) {
    a += std::exp(static_cast<long double>(logits.policy[row * columns + v]));
    b += std::exp(static_cast<long double>(logits.reference[row * columns + v]));
  }
  for (int v = 0; v < columns; ++v) {
    const long double p = logits.policy[row * columns + v], r = logits.reference[row * columns + v];
    kl += std::exp(p) / a * (p - std::log(a) - r + std::log(b));
  }
  return static_cast<double>(kl);
}

std::vector<double> read_tokens(const std::string& path, const std::string& name) {
  std::vector<double> values(rows);
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t data = H5Dopen2(file, ("/tokens/" + name).c_str(), H5P_DEFAULT);
  EXPECT_GE(H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0) << name;
  H5Dclose(data);
  H5Fclose(file);
  return values;
}

class Eval : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (scratch_.path() / name).string(); }

  std::string write(const std::string& name, const Logits& logits) const {
    io::commit_eval_file(path(name), {.tokens = rows,
                                   .vocab_size = columns,
                                   .policy_columns = columns,
                                   .reference_columns = columns,
                                   .policy_logits = logits.policy,
                                   .reference_logits = logits.reference,
                                   .targets = logits.targets,
                                   .mask = logits.mask,
                                   .sequence = logits.sequence,
                                   .config_toml = ""});
    return path(name);
  }

  /// @param changed which field to spoil, how
  template <class Change>
  std::string write_changed(const std::string& name, Change change) const {
    Logits logits;
    change(logits);
    return write(name, logits);
  }

  static Result eval(int ranks, const std::string& arguments) {
    const std::string launcher = ranks == 1 ? "" : fmt::format("{} -n {} ", KLMESH_MPIEXEC, ranks);
    return run(fmt::format("{}{} eval {}", launcher, KLMESH_PROGRAM, arguments));
  }

  static void expect_failure(int code, const std::string& message, const std::string& arguments) {
    for (const int ranks : {1, 4}) {
      SCOPED_TRACE(fmt::format("{} on {} ranks", arguments, ranks));
      const Result result = eval(ranks, arguments);
      EXPECT_EQ(result.code, code) << result.err;
      EXPECT_EQ(result.out, "");
      EXPECT_EQ(count(result.err, "klmesh: "), 1) << result.err;
      EXPECT_THAT(result.err, HasSubstr(message));
    }
  }

  ScratchDirectory scratch_;
  Logits logits_;
  std::string good_ = write("good.h5", logits_);
};

TEST_F(Eval, JsonOnStdoutIsAloneAndRight) {
  const Result result = eval(1, good_ + " --json -");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["schema"], "klmesh.eval/1");
  EXPECT_EQ(json["tokens"], 5);
  EXPECT_EQ(json["masked_tokens"], 1);
  EXPECT_EQ(json["vocab_size"], columns);
  double sum = 0;
  for (const int row : {0, 1, 2, 3, 5}) sum += kl_of(logits_, row);
  EXPECT_NEAR(json["exact"]["kl_reverse"]["sum"].get<double>(), sum, 2e-6 * sum);
  EXPECT_FALSE(json["exact"]["kl_reverse"]["stderr_clustered"].is_null());
  EXPECT_FALSE(json["estimators"]["k1"]["bias"].is_null());
}

TEST_F(Eval, TheSameOnEveryMesh) {
  const Json alone = Json::parse(eval(1, good_ + " --json -").out);
  for (const char* mesh : {"1x4", "2x2", "4x1"}) {
    const Result result = eval(4, good_ + " --json - --mesh " + mesh);
    ASSERT_EQ(result.code, 0) << result.err;
    Json json = Json::parse(result.out);
    EXPECT_EQ(json["mesh"]["batch"], mesh[0] - '0');
    json["mesh"] = alone["mesh"];
    EXPECT_EQ(json, alone) << mesh;
  }
}

TEST_F(Eval, TheTableIsForPeopleAndTheFileForPrograms) {
  const Result result = eval(1, good_ + " --quantities core --json " + path("report.json"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("eval " + good_), HasSubstr("kl_reverse"), HasSubstr("tokens 5")));
  EXPECT_EQ(read_text(path("report.json")), eval(1, good_ + " --quantities core --json -").out);
  EXPECT_TRUE(Json::parse(read_text(path("report.json"))).at("same_top").is_null());
}

TEST_F(Eval, BitsAndScales) {
  const Json nats = Json::parse(eval(1, good_ + " --json -").out);
  const Json bits = Json::parse(eval(1, good_ + " --json - --unit bits").out);
  const double kl = nats["exact"]["kl_reverse"]["mean"].get<double>();
  EXPECT_EQ(bits["exact"]["kl_reverse"]["mean"].get<double>(), kl / std::numbers::ln2);
  const Json scaled = Json::parse(eval(1, good_ + " --json - --policy-scale 0.5 --reference-scale 0.5").out);
  EXPECT_LT(scaled["exact"]["kl_reverse"]["mean"].get<double>(), kl);
}

TEST_F(Eval, PerToken) {
  for (const int ranks : {1, 4}) {
    const std::string out = path(fmt::format("tokens{}.h5", ranks));
    const Result result = eval(ranks, good_ + " --json - --per-token " + out);
    ASSERT_EQ(result.code, 0) << result.err;
    const std::vector<double> kl = read_tokens(out, "kl_reverse");
    for (const int row : {0, 1, 2, 3, 5})
      EXPECT_NEAR(kl[row], kl_of(logits_, row), 2e-6 * kl_of(logits_, row)) << row;
    EXPECT_TRUE(std::isnan(kl[4]));
  }
  EXPECT_EQ(read_text(path("tokens1.h5")), read_text(path("tokens4.h5")));
}

TEST_F(Eval, SkippedRowsAreCounted) {
  const std::string file = write_changed(
      "nan.h5", [](Logits& l) { l.reference[3 * columns + 5] = std::numeric_limits<float>::infinity(); });
  expect_failure(65, "row 3", file);
  for (const int ranks : {1, 4}) {
    const Json json = Json::parse(eval(ranks, file + " --skip-invalid --json -").out);
    EXPECT_EQ(json["invalid_rows"], 1);
    EXPECT_EQ(json["tokens"], 4);
  }
}

TEST_F(Eval, Usage) {
  expect_failure(64, "--json", good_ + " --json");
  expect_failure(64, "bytes", good_ + " --unit bytes");
  expect_failure(64, "3x1", good_ + " --mesh 3x1");
  expect_failure(64, "65", good_ + " --mesh 1x65");
  expect_failure(64, "--policy-scale", good_ + " --policy-scale 0");
  expect_failure(69, "cuda", good_ + " --backend cuda");
  expect_failure(64, "is the input", good_ + " --per-token " + good_);
  expect_failure(64, "is the input", good_ + " --json " + good_);
  expect_failure(64, "of --per-token, too", fmt::format("{0} --per-token {1} --json {1}", good_, path("x")));
  EXPECT_EQ(eval(1, good_).code, 0) << "the input is as it was";
}

TEST_F(Eval, BadFiles) {
  expect_failure(66, path("none.h5"), path("none.h5"));
  expect_failure(65, "text.h5", scratch_.write("text.h5", "no HDF5"));
  const std::string whole = read_text(good_);
  expect_failure(65, "cut.h5", scratch_.write("cut.h5", whole.substr(0, whole.size() / 2)));
  expect_failure(65, "row 2", write_changed("target.h5", [](Logits& l) { l.targets[2] = columns; }));
  expect_failure(65, "row 1", write_changed("mask.h5", [](Logits& l) { l.mask[1] = 2; }));
  expect_failure(65, "masked", write_changed("none_left.h5", [](Logits& l) { l.mask.assign(rows, 0); }));
}

// What opens a foreign file first, so that a crash is another process's.
TEST_F(Eval, TheProbeIsThisProgram) {
  EXPECT_EQ(run(fmt::format("{} --probe-logits-file {}", KLMESH_PROGRAM, good_)).code, 0);
  const Result bad =
      run(fmt::format("{} --probe-logits-file {}", KLMESH_PROGRAM, scratch_.write("bad.h5", "no HDF5")));
  EXPECT_EQ(bad.code, 65);
  EXPECT_THAT(bad.out, HasSubstr("bad.h5"));
}

TEST_F(Eval, TheLastRowOfTheLastRankIsTold) {
  const std::string file = write_changed(
      "nan.h5", [](Logits& l) { l.policy[5 * columns + 19] = std::numeric_limits<float>::quiet_NaN(); });
  expect_failure(65, "row 5, column 19", file);
}

TEST_F(Eval, OutputsThatCannotBeWritten) {
  std::filesystem::create_symlink("/dev/full", path("full"));
  for (const char* option : {"--json ", "--per-token "}) {
    expect_failure(74, "/nonexistent/out", good_ + " " + option + "/nonexistent/out");
    expect_failure(74, path("good.h5") + "/out", good_ + " " + option + path("good.h5") + "/out");
    expect_failure(74, path("full"), good_ + " " + option + path("full"));
    expect_failure(74, scratch_.path().string(), good_ + " " + option + scratch_.path().string());
  }
  const Result full = run(fmt::format("sh -c '{} eval {} --json - >/dev/full'", KLMESH_PROGRAM, good_));
  EXPECT_EQ(full.code, 74) << full.err;
}

}  // namespace
}  // namespace klmesh::cli::test
