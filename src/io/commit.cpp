#include "io/commit.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include "io/open_file.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// Where a rename may put the file: at the end of symbolic links, and not in the place of a device, as root could.
std::filesystem::path regular_target(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  constexpr int most_links = 40;  // as the kernel's limit
  std::error_code error;
  fs::path target = path;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, error)); ++links) {
    if (links == most_links) throw_io_error(ELOOP, "readlink", path);
    const fs::path next = fs::read_symlink(target, error);
    if (error) throw_io_error(error.value(), "readlink", path);
    target = directory_of(target) / next;  // `next` itself, if it is absolute
  }
  const fs::file_status status = fs::status(target, error);
  if (fs::is_directory(status)) throw_io_error(EISDIR, "rename", path);
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw IoError(fmt::format("{}: is not a regular file, and is not replaced by one", path.string()));
  return target;
}

// Processes of other hosts may write to the same directory with the same pid, hence the random part. The
// target's name is no part of it: with a suffix it might be too long.
std::filesystem::path temporary_path(const std::filesystem::path& target) {
  std::random_device random;
  return directory_of(target) / fmt::format(".klmesh-{}-{:08x}{:08x}.tmp", getpid(), random(), random());
}

/// A new file beside `target`, removed again unless it takes the target's place.
class TemporaryFile {
 public:
  TemporaryFile(Disk& disk, const std::filesystem::path& target)
      : disk_(disk),
        target_(target),
        path_(temporary_path(target)),
        file_(disk, path_, O_WRONLY | O_CREAT | O_EXCL, target) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  // A failure to remove is not reported: an exception that says why is already on its way.
  ~TemporaryFile() {
    if (!renamed_) disk_.unlink(path_.c_str());
  }

  OpenFile& file() noexcept { return file_; }

  void take_place() {
    if (disk_.rename(path_.c_str(), target_.c_str()) < 0) throw_io_error(errno, "rename", target_);
    renamed_ = true;
  }

 private:
  Disk& disk_;
  const std::filesystem::path& target_;
  std::filesystem::path path_;
  OpenFile file_;
  bool renamed_ = false;
};

void sync_directory(Disk& disk, const std::filesystem::path& path) {
  OpenFile directory(disk, path, O_RDONLY | O_DIRECTORY, path);
  directory.sync_directory();
  directory.close();
}

}  // namespace

void commit_file(const std::filesystem::path& path, std::span<const std::byte> content) {
  commit_file(path, content, posix_disk());
}

void commit_file(const std::filesystem::path& path, std::span<const std::byte> content, Disk& disk) {
  const std::filesystem::path target = regular_target(path);
  TemporaryFile temporary(disk, target);
  temporary.file().write_all(content);
  temporary.file().sync();
  temporary.file().close();
  temporary.take_place();
  sync_directory(disk, directory_of(target));
}

}  // namespace klmesh::io
