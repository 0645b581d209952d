// The files of a run: statistics.h5 and progress.jsonl, per arm. Rank 0 writes; on other ranks this does nothing.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/progress_log.hpp"
#include "klmesh/statistics_log.hpp"
#include "loop/step_record.hpp"

namespace klmesh::loop {

/// The columns under /steps: those that every statistics file has, and beta and stopped_early, of phase 3.
std::vector<io::Column> step_columns();

class RunRecord {
 public:
  /// @param directory  RUN; exists
  /// @param attributes of every statistics file
  RunRecord(std::filesystem::path directory, io::RunAttributes attributes);

  /// "arm-<kind>": where the files of a further arm are, below RUN.
  static std::string arm_directory(std::string_view kind) { return "arm-" + std::string(kind); }

  /// "distill-<kind>": where the files of a student are, below RUN.
  static std::string student_directory(std::string_view kind) { return "distill-" + std::string(kind); }

  /// What follows goes to files of its own in this directory below RUN. The first arm of phase 3 stays in RUN, and does
  /// not call this.
  void begin_directory(std::string_view directory);

  /// Adds a step, and a line to progress.jsonl. @throws IoError
  void add(const StepRecord& step);

  /// The rows of the arm that runs, for a checkpoint.
  std::vector<double> state() const { return statistics_->state(); }

  /// Goes on after the rows that state() gave, in this directory below RUN, or in RUN itself if `directory` is empty. Lines
  /// of progress.jsonl that came later are removed. @throws InvalidData, IoError
  void restore(std::string_view directory, std::span<const double> state);

  /// Writes statistics.h5 whole. @throws IoError
  void commit();

  /// Commits and closes; the last call. @throws IoError
  void finish();

 private:
  void open(const std::filesystem::path& directory);
  void change_to(const std::filesystem::path& directory, std::span<const double> state);

  std::filesystem::path directory_;
  std::filesystem::path current_;
  io::RunAttributes attributes_;
  std::unique_ptr<io::StatisticsLog> statistics_;
  std::unique_ptr<io::ProgressLog> progress_;
};

}  // namespace klmesh::loop
