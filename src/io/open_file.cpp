#include "io/open_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

constexpr mode_t new_file_mode = 0666;

// Repeats a call that a signal interrupted.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

void throw_io_error(int error, std::string_view call, const std::filesystem::path& path,
                    std::source_location where) {
  const std::string_view file = where.file_name();
  throw IoError(fmt::format("{}: {} ({}, {}:{})", path.string(), std::generic_category().message(error), call,
                            file.substr(file.find_last_of('/') + 1), where.line()));
}

OpenFile::OpenFile(Disk& disk, const std::filesystem::path& path, int flags, std::filesystem::path shown)
    : disk_(disk),
      shown_(std::move(shown)),
      descriptor_(uninterrupted([&] { return disk_.open(path.c_str(), flags | O_CLOEXEC, new_file_mode); })) {
  if (descriptor_ < 0) throw_io_error(errno, "open", shown_);
}

OpenFile::~OpenFile() {
  if (descriptor_ >= 0) disk_.close(descriptor_);
}

void OpenFile::write_all(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t written = uninterrupted([&] { return disk_.write(descriptor_, data.data(), data.size()); });
    if (written < 0) throw_io_error(errno, "write", shown_);
    if (written == 0)
      throw_io_error(EIO, "write that took nothing", shown_);  // else this loop might never end
    data = data.subspan(static_cast<std::size_t>(written));
  }
}

void OpenFile::sync() {
  if (uninterrupted([&] { return disk_.fsync(descriptor_); }) < 0) throw_io_error(errno, "fsync", shown_);
}

void OpenFile::sync_directory() {
  const int result = uninterrupted([&] { return disk_.fsync(descriptor_); });
  // Some network file systems answer so to any fsync of a directory; their rename is durable by other means.
  if (result < 0 && errno != EINVAL && errno != ENOTSUP) throw_io_error(errno, "fsync", shown_);
}

void OpenFile::close() {
  // An interrupted close has closed on Linux; a second one might hit a descriptor that another thread just
  // got.
  if (disk_.close(std::exchange(descriptor_, -1)) < 0 && errno != EINTR)
    throw_io_error(errno, "close", shown_);
}

}  // namespace klmesh::io
