// Puts a whole file in place, or leaves everything as it was.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "io/disk.hpp"

namespace klmesh::io {

/// Makes `content` the file `path`: temporary in the same directory, fsync, rename, fsync of the directory.
/// Whoever opens `path`, now or after a crash, sees the old file or the new one, whole. A symbolic link at
/// `path` is followed: the file it points to is replaced. Directories are not made, and what is there but no regular file
/// (a device, a pipe, a socket) is refused. Blocks for as long as the device takes.
///
/// @throws IoError naming the path and the reason. The old file is intact and the temporary removed; only if
/// the
///         last fsync fails is the new file already in place, though perhaps not yet durable.
void commit_file(const std::filesystem::path& path, std::span<const std::byte> content);

/// The same on a disk of the caller's.
void commit_file(const std::filesystem::path& path, std::span<const std::byte> content, Disk& disk);

}  // namespace klmesh::io
