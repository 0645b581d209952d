#include "cli/run_directory.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <system_error>

#include "cli/usage_error.hpp"

namespace klmesh::cli {
namespace fs = std::filesystem;
namespace {

void check(const std::error_code& error, const fs::path& path, std::string_view what) {
  if (error) throw IoError(fmt::format("{} {}: {}", what, path.string(), error.message()));
}

// The default name may be taken by a run that started in the same second.
fs::path make_unused(const fs::path& wanted) {
  std::error_code error;
  fs::create_directories(wanted.parent_path(), error);
  check(error, wanted.parent_path(), "cannot make directory");
  fs::path path = wanted;
  for (int attempt = 2;; ++attempt) {
    const bool made = fs::create_directory(path, error);  // false if it exists: of two processes one gets it
    check(error, path, "cannot make run directory");
    if (made) return path;
    path = fmt::format("{}-{}", wanted.string(), attempt);
  }
}

}  // namespace

fs::path default_run_directory(const fs::path& config_file, std::chrono::system_clock::time_point now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  return fs::path("runs") /
         fmt::format("{}-{:%Y%m%dT%H%M%SZ}", config_file.stem().string(), fmt::gmtime(seconds));
}

fs::path make_run_directory(const std::optional<std::string>& given, const fs::path& config_file) {
  if (!given) return make_unused(default_run_directory(config_file, std::chrono::system_clock::now()));
  const fs::path path = *given;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_directory(status)) {
    throw UsageError(fmt::format("--run {}: exists and is not a directory", *given));
  }
  if (fs::is_directory(status)) {
    const bool empty = fs::is_empty(path, error);
    check(error, path, "cannot read run directory");
    if (!empty) throw UsageError(fmt::format("--run {}: the directory is not empty", *given));
    return path;
  }
  fs::create_directories(path, error);
  check(error, path, "cannot make run directory");
  return path;
}

}  // namespace klmesh::cli
