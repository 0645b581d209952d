#include "io/disk.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace klmesh::io {
namespace {

class PosixDisk final : public Disk {
 public:
  int open(const char* path, int flags, mode_t mode) override { return ::open(path, flags, mode); }
  ssize_t write(int descriptor, const void* data, std::size_t bytes) override {
    return ::write(descriptor, data, bytes);
  }
  int fsync(int descriptor) override { return ::fsync(descriptor); }
  int close(int descriptor) override { return ::close(descriptor); }
  int rename(const char* from, const char* to) override { return std::rename(from, to); }
  int unlink(const char* path) override { return ::unlink(path); }
};

}  // namespace

Disk& posix_disk() noexcept {
  static PosixDisk disk;
  return disk;
}

}  // namespace klmesh::io
