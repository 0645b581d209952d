// The files of a run: statistics.h5 and progress.jsonl, per arm. Rank 0 writes; on other ranks this does nothing.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "io/progress_log.hpp"
#include "io/statistics_log.hpp"
#include "loop/step_record.hpp"

namespace klmesh::loop {

class RunRecord {
 public:
  /// @param directory  RUN; exists
  /// @param attributes of every statistics file
  RunRecord(std::filesystem::path directory, io::RunAttributes attributes);

  /// "arm-<kind>": where the files of a further arm are, below RUN.
  static std::string arm_directory(std::string_view kind) { return "arm-" + std::string(kind); }

  /// What follows goes to RUN/arm-<kind>, in files of its own. The first arm stays in RUN, and does not call this.
  void begin_further_arm(std::string_view kind);

  /// Adds a step, and a line to progress.jsonl. @throws IoError
  void add(const StepRecord& step);

  /// Writes statistics.h5 whole. @throws IoError
  void commit();

  /// Commits and closes; the last call. @throws IoError
  void finish();

 private:
  void open(const std::filesystem::path& directory);

  std::filesystem::path directory_;
  std::filesystem::path current_;
  io::RunAttributes attributes_;
  std::unique_ptr<io::StatisticsLog> statistics_;
  std::unique_ptr<io::ProgressLog> progress_;
};

}  // namespace klmesh::loop
