#include "io/progress_log.hpp"

#include <fcntl.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

namespace klmesh::io {
namespace {

// Cuts off what follows the last newline: a line that a crash left unfinished.
void remove_torn_line(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return;  // new, or not ours to read: open() will say
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t whole = text.rfind('\n') + 1;  // npos + 1 is 0
  if (file.bad() || whole == text.size()) return;
  std::error_code error;
  std::filesystem::resize_file(path, whole, error);
  if (error) throw_io_error(error.value(), "truncate", path);
}

OpenFile open_log(const std::filesystem::path& path, Disk& disk) {
  remove_torn_line(path);
  return OpenFile(disk, path, O_WRONLY | O_CREAT | O_APPEND, path);
}

}  // namespace

ProgressLog::ProgressLog(const std::filesystem::path& path, Disk& disk) : file_(open_log(path, disk)) {}

void ProgressLog::append(std::int64_t phase, std::int64_t step, std::span<const NamedValue> values) {
  nlohmann::ordered_json object{{"phase", phase}, {"step", step}};
  for (const auto& [name, value] : values)
    object[std::string(name)] = value;  // dump() makes NaN and inf null
  std::string line = torn_ ? "\n" : "";
  line += object.dump();
  line += '\n';
  torn_ = true;
  file_.write_all(std::as_bytes(std::span(line)));
  torn_ = false;
}

}  // namespace klmesh::io
