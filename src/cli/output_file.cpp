#include "cli/output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <system_error>

#include "io/commit.hpp"
#include "io/disk.hpp"
#include "io/open_file.hpp"
#include "klmesh/error.hpp"

namespace klmesh::cli {
namespace fs = std::filesystem;
namespace {

// A pipe, a terminal, /dev/full: there, and nothing that a rename may replace.
bool is_stream(const fs::path& path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  return fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status);
}

}  // namespace

void require_writable(const fs::path& path) {
  if (is_stream(path)) return;
  std::error_code ignored;
  if (path.empty()) io::throw_io_error(ENOENT, "open", "output file ''");
  if (fs::is_directory(path, ignored)) io::throw_io_error(EISDIR, "open", path);
  const fs::path directory = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (::access((directory / "").c_str(), W_OK | X_OK) < 0) io::throw_io_error(errno, "open", path);
}

void require_replaceable(const fs::path& path) {
  if (is_stream(path)) throw IoError(fmt::format("{}: not a regular file", path.string()));
  require_writable(path);
}

void write_output(const fs::path& path, std::string_view text) {
  const auto content = std::as_bytes(std::span(text));
  if (!is_stream(path)) return io::commit_file(path, content);
  io::OpenFile stream(io::posix_disk(), path, O_WRONLY, path);
  stream.write_all(content);
  stream.close();
}

}  // namespace klmesh::cli
