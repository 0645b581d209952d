// Where a run is written: --run DIR, or runs/<config>-<UTC>.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace klmesh::cli {

/// "runs/<stem of the config file>-<UTC as 20250131T235959Z>".
std::filesystem::path default_run_directory(const std::filesystem::path& config_file,
                                            std::chrono::system_clock::time_point now);

/// Makes the directory of a new run, parents included. One rank calls it.
///
/// @param given       --run; may exist if it is an empty directory
/// @param config_file names the default; if that is taken, "-2", "-3" ... is appended
/// @throws UsageError `given` is not empty or not a directory; IoError it cannot be made or read
std::filesystem::path make_run_directory(const std::optional<std::string>& given,
                                         const std::filesystem::path& config_file);

}  // namespace klmesh::cli
