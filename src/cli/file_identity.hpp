// Is it the same file that two ranks see?
#pragma once

#include <filesystem>
#include <string>

namespace klmesh::cli {

/// "51234 bytes, contents 0123456789abcdef": equal for equal files, wherever they lie. A file that cannot be read says why
/// instead. The bytes are not looked into: a foreign file does no harm here.
/// Cost: reads at most 32 MiB: all of a file that is no larger, else its first and last MiB and 480 pieces between.
std::string file_identity(const std::filesystem::path& path);

}  // namespace klmesh::cli
