#include "io/generation.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>

#include "io/commit.hpp"
#include "io/open_file.hpp"
#include "io/sha256.hpp"

namespace klmesh::io {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view prefix = "gen-";
constexpr const char* manifest_name = "MANIFEST";

void check(const std::error_code& error, std::string_view call, const fs::path& path) {
  if (error) throw_io_error(error.value(), call, path);
}

// Hidden from list_generations().
fs::path temporary_path(const fs::path& run, std::int64_t number) { return run / fmt::format(".gen-{}.tmp", number); }

std::optional<std::int64_t> number_of(const std::string& name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  std::int64_t number = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, number);
  if (error != std::errc() || stop != end || number < 0) return std::nullopt;
  return number;
}

void rename(const fs::path& from, const fs::path& to, Disk& disk) {
  if (disk.rename(from.c_str(), to.c_str()) < 0) throw_io_error(errno, "rename", to);
}

void sync_directory(const fs::path& path, Disk& disk) {
  OpenFile directory(disk, path, O_RDONLY | O_DIRECTORY, path);
  directory.sync_directory();
  directory.close();
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  check(error, "remove", path);
}

}  // namespace

fs::path generation_path(const fs::path& run, std::int64_t number) { return run / fmt::format("{}{}", prefix, number); }

std::vector<std::int64_t> list_generations(const fs::path& run) {
  std::vector<std::int64_t> numbers;
  std::error_code error;
  for (fs::directory_iterator it(run, error), end; !error && it != end; it.increment(error)) {
    if (const auto number = number_of(it->path().filename().string())) numbers.push_back(*number);
  }
  if (error && error != std::errc::no_such_file_or_directory) check(error, "read directory", run);
  std::ranges::sort(numbers, std::greater{});
  return numbers;
}

fs::path begin_generation(const fs::path& run, std::int64_t number) {
  const fs::path directory = temporary_path(run, number);
  remove_tree(directory);
  std::error_code error;
  fs::create_directory(directory, error);
  check(error, "mkdir", directory);
  return directory;
}

StateFileEntry write_state_file(const fs::path& directory, const std::string& name, std::span<const std::byte> content,
                                Disk& disk) {
  commit_file(directory / name, content, disk);
  StateFileEntry entry;
  entry.name = name;
  entry.bytes = static_cast<std::int64_t>(content.size());
  entry.sha256 = sha256_hex(content);
  return entry;
}

void commit_generation(const fs::path& run, std::int64_t number, const fs::path& directory, const Manifest& manifest,
                       Disk& disk) {
  const std::string text = to_text(manifest);
  commit_file(directory / manifest_name, std::as_bytes(std::span(text)), disk);
  rename(directory, generation_path(run, number), disk);
  sync_directory(run, disk);
}

void remove_generation(const fs::path& run, std::int64_t number) {
  const fs::path doomed = temporary_path(run, number);
  remove_tree(doomed);
  rename(generation_path(run, number), doomed, posix_disk());
  remove_tree(doomed);
}

}  // namespace klmesh::io
