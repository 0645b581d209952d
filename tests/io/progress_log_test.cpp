#include "io/progress_log.hpp"

#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/faulty_disk.hpp"
#include "io/scratch_directory.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double infinity = std::numeric_limits<double>::infinity();

TEST(ProgressLog, WritesALineAtATime) {
  const ScratchDirectory directory;
  ProgressLog log(directory / "progress.jsonl");
  log.append(1, 1, std::vector<NamedValue>{{"loss", 0.1}, {"a\"b", 2}});
  EXPECT_EQ(read_text(directory / "progress.jsonl"),
            "{\"phase\":1,\"step\":1,\"loss\":0.1,\"a\\\"b\":2.0}\n");
  log.append(3, 20, {});
  EXPECT_THAT(read_text(directory / "progress.jsonl"),
              testing::EndsWith("2.0}\n{\"phase\":3,\"step\":20}\n"));
  log.close();
}

TEST(ProgressLog, NonFiniteNumbersAreNull) {
  const ScratchDirectory directory;
  ProgressLog log(directory / "progress.jsonl");
  log.append(1, 1,
             std::vector<NamedValue>{
                 {"x", std::numeric_limits<double>::quiet_NaN()}, {"y", infinity}, {"z", -infinity}});
  const auto object = nlohmann::json::parse(read_text(directory / "progress.jsonl"));
  for (const char* name : {"x", "y", "z"}) EXPECT_TRUE(object.at(name).is_null()) << name;
}

TEST(ProgressLog, NumbersReadBackTheSame) {
  const ScratchDirectory directory;
  ProgressLog log(directory / "progress.jsonl");
  const double value = 0.1 + 0.2;
  log.append(1, 1, std::vector<NamedValue>{{"x", value}});
  EXPECT_EQ(nlohmann::json::parse(read_text(directory / "progress.jsonl")).at("x").get<double>(), value);
}

TEST(ProgressLog, EachLineIsOneWrite) {
  const ScratchDirectory directory;
  FaultyDisk disk;
  ProgressLog log(directory / "progress.jsonl", disk);
  log.append(1, 1, std::vector<NamedValue>{{"x", 1}});
  log.append(1, 2, std::vector<NamedValue>{{"x", 1}});
  EXPECT_THAT(disk.calls, ElementsAre("open", "write", "write"));
}

TEST(ProgressLog, GoesOnAfterWholeLines) {
  const ScratchDirectory directory;
  write_text(directory / "progress.jsonl", "{\"step\":1}\n");
  ProgressLog(directory / "progress.jsonl").append(1, 2, {});
  EXPECT_EQ(read_text(directory / "progress.jsonl"), "{\"step\":1}\n{\"phase\":1,\"step\":2}\n");
}

TEST(ProgressLog, RemovesALineThatACrashLeftUnfinished) {
  const ScratchDirectory directory;
  write_text(directory / "after", "{\"step\":1}\n{\"ste");
  write_text(directory / "alone", "{\"ste");
  ProgressLog(directory / "after").append(1, 2, {});
  ProgressLog(directory / "alone").append(1, 2, {});
  EXPECT_EQ(read_text(directory / "after"), "{\"step\":1}\n{\"phase\":1,\"step\":2}\n");
  EXPECT_EQ(read_text(directory / "alone"), "{\"phase\":1,\"step\":2}\n");
}

TEST(ProgressLog, AFailedWriteNamesThePathAndSpoilsOneLineOnly) {
  const ScratchDirectory directory;
  FaultyDisk disk;
  disk.capacity_bytes = 4;
  ProgressLog log(directory / "progress.jsonl", disk);
  try {
    log.append(1, 1, {});
    ADD_FAILURE() << "no error";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr((directory / "progress.jsonl").string()));
  }
  disk.capacity_bytes = 1000;
  log.append(1, 2, {});
  EXPECT_EQ(read_text(directory / "progress.jsonl"), "{\"ph\n{\"phase\":1,\"step\":2}\n");
}

TEST(ProgressLog, AnUnwritablePathIsAnIoError) {
  const ScratchDirectory directory;
  EXPECT_THROW(ProgressLog(directory / "missing/progress.jsonl"), IoError);
}

}  // namespace
}  // namespace klmesh::io
