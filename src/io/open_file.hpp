// An open file descriptor, with every call checked.
#pragma once

#include <cstddef>
#include <filesystem>
#include <source_location>
#include <span>
#include <string_view>

#include "io/disk.hpp"

namespace klmesh::io {

/// Throws IoError with the path, the failed call and the text of `error` (an errno value).
[[noreturn]] void throw_io_error(int error, std::string_view call, const std::filesystem::path& path,
                                 std::source_location where = std::source_location::current());

/// A descriptor of `disk`, which must outlive it. EINTR is handled here. Not movable: it lives in one scope.
class OpenFile {
 public:
  /// @param flags as of open(2); a new file gets the permissions that the umask leaves of rw-rw-rw-
  /// @param shown the path that errors name: what the user asked for, where that is not `path` itself
  /// @throws IoError
  OpenFile(Disk& disk, const std::filesystem::path& path, int flags, std::filesystem::path shown);
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile();  ///< closes without a check: for unwinding; the normal path calls close()

  /// Writes all of `data`, however many calls that takes. @throws IoError; part of it may be written then
  void write_all(std::span<const std::byte> data);

  /// Blocks until the device has everything. @throws IoError
  void sync();

  /// As sync(), for a directory: file systems that cannot do that are accepted.
  void sync_directory();

  /// @throws IoError; the descriptor is gone all the same
  void close();

 private:
  Disk& disk_;
  std::filesystem::path shown_;
  int descriptor_;
};

}  // namespace klmesh::io
