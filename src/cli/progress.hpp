// Progress on stderr: a live bar on a terminal, a line every few seconds in a pipe.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace klmesh::cli {

/// How progress is shown. The defaults are silent.
struct ProgressStyle {
  std::FILE* out = nullptr;  ///< borrowed; null: say nothing
  bool live = false;         ///< rewrite one line, else write lines
  bool color = false;
  std::chrono::duration<double> interval{5.0};  ///< between updates shown
};

/// The style for this process: silent on all ranks but 0; live if stderr is a terminal that can do it;
/// coloured if live and NO_COLOR is not set (https://no-color.org).
ProgressStyle progress_style(int rank);

/// The progress of one task of `total` steps. Failing to write progress is no error of the task, so it is
/// ignored.
class Progress {
 public:
  Progress(std::string label, std::int64_t total, ProgressStyle style);
  ~Progress();  ///< finish()
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows `step` of total and a short text, unless the last showing is too recent. Cheap enough for every
  /// step.
  void update(std::int64_t step, std::string_view text = {});

  /// Shows the last update, if it was not shown, and ends the line. Later calls do nothing.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  void show();
  std::string line(double elapsed_seconds) const;

  std::string label_;
  std::int64_t total_;
  ProgressStyle style_;
  Clock::time_point start_;
  Clock::time_point last_shown_;
  std::int64_t step_ = 0;
  std::string text_;
  bool pending_ = false;  // the latest update has not been shown
  bool finished_ = false;
};

}  // namespace klmesh::cli
