// What io asks of the operating system, in one place, so that tests can make it fail.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace klmesh::io {

/// The system calls of writing a file, as POSIX defines them: -1 and errno on failure.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual int open(const char* path, int flags, mode_t mode) = 0;
  virtual ssize_t write(int descriptor, const void* data, std::size_t bytes) = 0;
  virtual int fsync(int descriptor) = 0;
  virtual int close(int descriptor) = 0;
  virtual int rename(const char* from, const char* to) = 0;
  virtual int unlink(const char* path) = 0;
};

/// The operating system itself. Has no state; safe from any thread.
Disk& posix_disk() noexcept;

}  // namespace klmesh::io
