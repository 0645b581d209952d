// Files that the user asked for: whether they can be written, told before hours of work, and writing them.
#pragma once

#include <filesystem>
#include <string_view>

namespace klmesh::cli {

/// Looks whether the directory is there and `path` is not one itself; writing
/// can still fail.
/// @throws IoError naming the path and the reason
void require_writable(const std::filesystem::path& path);

/// The same for what is written as a whole file, in place of the old one: a
/// pipe or a device is refused, for it would be replaced by a file.
/// @throws IoError
void require_replaceable(const std::filesystem::path& path);

/// Makes `text` the file `path`, whole or not at all; a pipe or a device is
/// written to.
/// @throws IoError naming the path and the reason
void write_output(const std::filesystem::path& path, std::string_view text);

}  // namespace klmesh::cli
