// A line of JSON per step, for people who watch a run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "klmesh/column_set.hpp"
#include "io/disk.hpp"
#include "io/open_file.hpp"

namespace klmesh::io {

/// Appends to a file of JSON lines, {"phase": 1, "step": 10, "loss": 3.2}. Each line is one write, so readers
/// never see half of one, except after a crash; opening the log removes such a rest. Not fsynced: it is no
/// record.
class ProgressLog {
 public:
  /// Opens `path` for appending, or makes it. @throws IoError naming the path
  explicit ProgressLog(const std::filesystem::path& path, Disk& disk = posix_disk());

  /// Writes a line. Numbers in the shortest form that reads back the same; non-finite ones are null.
  /// @throws IoError naming the path; the next line then starts on a line of its own
  void append(std::int64_t phase, std::int64_t step, std::span<const NamedValue> values);

  /// @throws IoError
  void close() { file_.close(); }

 private:
  OpenFile file_;
  bool torn_ = false;
};

}  // namespace klmesh::io
