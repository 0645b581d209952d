// A disk that fails on demand, over the real one.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "io/disk.hpp"

namespace klmesh::io {

class FaultyDisk final : public Disk {
 public:
  int open_error = 0, fsync_error = 0, directory_fsync_error = 0, close_error = 0, rename_error = 0;
  std::size_t capacity_bytes = std::numeric_limits<std::size_t>::max();  ///< then ENOSPC
  std::size_t bytes_per_write = std::numeric_limits<std::size_t>::max();
  bool interrupts = false;         ///< every second write and fsync gives EINTR
  bool writes_nothing = false;     ///< write returns 0
  std::vector<std::string> calls;  ///< that succeeded

  int open(const char* path, int flags, mode_t mode) override {
    return open_error ? fail(open_error) : done("open", posix_disk().open(path, flags, mode));
  }

  ssize_t write(int descriptor, const void* data, std::size_t bytes) override {
    if (interrupted()) return fail(EINTR);
    if (writes_nothing) return 0;
    if (capacity_bytes == 0) return fail(ENOSPC);
    const ssize_t n =
        posix_disk().write(descriptor, data, std::min({bytes, bytes_per_write, capacity_bytes}));
    if (n > 0) capacity_bytes -= static_cast<std::size_t>(n);
    return done("write", n);
  }

  int fsync(int descriptor) override {
    if (interrupted()) return fail(EINTR);
    struct stat status {};
    const bool directory = fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
    const int error = directory ? directory_fsync_error : fsync_error;
    return error ? fail(error)
                 : done(directory ? "fsync directory" : "fsync", posix_disk().fsync(descriptor));
  }

  int close(int descriptor) override {
    const int result = posix_disk().close(descriptor);  // a failed close closes too
    return close_error ? fail(close_error) : done("close", result);
  }

  int rename(const char* from, const char* to) override {
    return rename_error ? fail(rename_error) : done("rename", posix_disk().rename(from, to));
  }

  int unlink(const char* path) override { return done("unlink", posix_disk().unlink(path)); }

 private:
  static int fail(int error) {
    errno = error;
    return -1;
  }

  bool interrupted() { return interrupts && (odd_ = !odd_); }

  template <typename T>
  T done(const char* call, T result) {
    if (result >= 0) calls.emplace_back(call);
    return result;
  }

  bool odd_ = false;
};

}  // namespace klmesh::io
