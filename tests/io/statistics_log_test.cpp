#include "klmesh/statistics_log.hpp"

#include <gmock/gmock.h>

#include <limits>
#include <string>
#include <vector>

#include "io/opened_image.hpp"
#include "io/python.hpp"
#include "io/scratch_directory.hpp"
#include "klmesh/standard_columns.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::ElementsAre;
using testing::IsNan;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

StatisticsLog make_log() {
  return StatisticsLog({"[mle]\nsteps = 2 # \xC3\xBC\n", "2x2", "2025-01-31T12:00:00Z", "0.1.0"},
                       standard_columns(), {{"step_seconds", "s", "wall-clock time of the step"}});
}

StatisticsLog make_filled_log() {
  StatisticsLog log = make_log();
  log.append(1, 1, std::vector<NamedValue>{{"loss", 4.5}, {"tokens", 1024}},
             std::vector<NamedValue>{{"step_seconds", 0.25}});
  log.append(1, 2, std::vector<NamedValue>{{"loss", 4.25}});
  log.append(3, 1, std::vector<NamedValue>{{"kl_reverse_mean", 0.125}, {"k1_bias", nan}});
  return log;
}

TEST(StatisticsLog, ColumnsReadBack) {
  const Handle file = open_image(make_filled_log().image());
  EXPECT_THAT(read_doubles(file, "/steps/phase"), ElementsAre(1, 1, 3));
  EXPECT_THAT(read_doubles(file, "/steps/step"), ElementsAre(1, 2, 1));
  EXPECT_THAT(read_doubles(file, "/steps/loss"), ElementsAre(4.5, 4.25, IsNan()));
  EXPECT_THAT(read_doubles(file, "/steps/tokens"), ElementsAre(1024, IsNan(), IsNan()));
  EXPECT_THAT(read_doubles(file, "/steps/kl_reverse_mean"), ElementsAre(IsNan(), IsNan(), 0.125));
  EXPECT_THAT(read_doubles(file, "/timing/step_seconds"), ElementsAre(0.25, IsNan(), IsNan()));
  for (const Column& column : standard_columns()) {
    const Handle dataset = open_dataset(file, "/steps/" + column.name);
    EXPECT_TRUE(has_type(dataset, H5T_IEEE_F64LE));
    EXPECT_EQ(read_string_attribute(dataset.get(), "unit"), column.unit);
    EXPECT_EQ(read_string_attribute(dataset.get(), "long_name"), column.long_name);
  }
}

TEST(StatisticsLog, RootAttributesReadBack) {
  const Handle file = open_image(make_log().image());
  EXPECT_EQ(read_string_attribute(file.get(), "format"), "klmesh-statistics");
  EXPECT_EQ(read_integer_attribute(file.get(), "format_version"), 1);
  EXPECT_EQ(read_string_attribute(file.get(), "library_version"), "0.1.0");
  EXPECT_EQ(read_string_attribute(file.get(), "created_utc"), "2025-01-31T12:00:00Z");
  EXPECT_EQ(read_string_attribute(file.get(), "config_toml"), "[mle]\nsteps = 2 # \xC3\xBC\n");
  EXPECT_EQ(read_string_attribute(file.get(), "mesh"), "2x2");
}

TEST(StatisticsLog, AnEmptyOneHasAllColumns) {
  const Handle file = open_image(make_log().image());
  EXPECT_THAT(extent(open_dataset(file, "/steps/k3_bias_stderr_clustered")), ElementsAre(0));
  EXPECT_THAT(extent(open_dataset(file, "/timing/step_seconds")), ElementsAre(0));
}

TEST(StatisticsLog, EqualRowsGiveEqualBytes) {
  StatisticsLog log = make_filled_log();
  EXPECT_EQ(log.image(), make_filled_log().image());
  log.append(3, 2, {});
  EXPECT_NE(log.image(), make_filled_log().image());
}

TEST(StatisticsLog, AFailedAppendAddsNothing) {
  StatisticsLog log = make_filled_log();
  EXPECT_THROW(log.append(3, 2, std::vector<NamedValue>{{"loss", 1}, {"no_such", 1}}), InvalidArgument);
  EXPECT_THROW(log.append(3, 2, {}, std::vector<NamedValue>{{"loss", 1}}), InvalidArgument);  // no timing
  EXPECT_EQ(log.rows(), 3U);
  EXPECT_EQ(log.image(), make_filled_log().image());
}

TEST(StatisticsLog, PhaseAndStepAreTaken) {
  EXPECT_THROW(StatisticsLog({}, {{"phase", "1", ""}}, {}), InvalidArgument);
  EXPECT_THROW(StatisticsLog({}, {{"step", "1", ""}}, {}), InvalidArgument);
}

TEST(StatisticsLog, RestoreGivesTheRowsButTheTiming) {
  StatisticsLog log = make_log();
  log.append(2, 9, {});  // replaced
  log.restore(make_filled_log().state());
  log.append(3, 2, {}, std::vector<NamedValue>{{"step_seconds", 0.5}});
  const Handle file = open_image(log.image());
  EXPECT_THAT(read_doubles(file, "/steps/phase"), ElementsAre(1, 1, 3, 3));
  EXPECT_THAT(read_doubles(file, "/steps/step"), ElementsAre(1, 2, 1, 2));
  EXPECT_THAT(read_doubles(file, "/steps/loss"), ElementsAre(4.5, 4.25, IsNan(), IsNan()));
  EXPECT_THAT(read_doubles(file, "/steps/kl_reverse_mean"), ElementsAre(IsNan(), IsNan(), 0.125, IsNan()));
  EXPECT_THAT(read_doubles(file, "/timing/step_seconds"), ElementsAre(IsNan(), IsNan(), IsNan(), 0.5));
}

TEST(StatisticsLog, RestoreRefusesOtherColumns) {
  StatisticsLog log = make_filled_log();
  std::vector<double> state = log.state();
  state.pop_back();
  EXPECT_THROW(log.restore(state), InvalidData);
  EXPECT_EQ(log.image(), make_filled_log().image());
}

TEST(StatisticsLog, CommitReplacesTheFile) {
  const ScratchDirectory directory;
  make_log().commit(directory / "statistics.h5");
  make_filled_log().commit(directory / "statistics.h5");
  const std::vector<std::byte> image = make_filled_log().image();
  EXPECT_EQ(read_text(directory / "statistics.h5"),
            std::string(reinterpret_cast<const char*>(image.data()), image.size()));
  EXPECT_THAT(directory.names(), ElementsAre("statistics.h5"));
}

TEST(StatisticsLog, PythonReadsIt) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  const ScratchDirectory directory;
  make_filled_log().commit(directory / "statistics.h5");
  EXPECT_EQ(run_python(R"(
import sys, h5py
with h5py.File(sys.argv[1], "r") as f:
    print(sorted(f), sorted(f.attrs))
    print(repr(f.attrs["format"]), f.attrs["format_version"], ascii(f.attrs["config_toml"]), f.attrs["mesh"])
    loss = f["steps/loss"]
    print(loss.dtype, list(loss[:]), loss.attrs["unit"], f["steps/k1_mean"].attrs["unit"], loss.chunks)
    print(len(f["steps"]), list(f["steps/step"][:]))
    print(list(f["timing"]), f["timing/step_seconds"].attrs["unit"])
)",
                       (directory / "statistics.h5").string()),
            "['steps', 'timing'] ['config_toml', 'created_utc', 'format', 'format_version', "
            "'library_version', 'mesh']\n"
            "'klmesh-statistics' 1 '[mle]\\nsteps = 2 # \\xfc\\n' 2x2\n"
            "float64 [4.5, 4.25, nan] 1 nats None\n"
            "70 [1, 2, 1]\n['step_seconds'] s\n");
}

}  // namespace
}  // namespace klmesh::io
