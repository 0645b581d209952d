// Opens a file that somebody else wrote.
#pragma once

#include <filesystem>
#include <string>

#include "io/hdf5_handle.hpp"

namespace klmesh::io {

/// An HDF5 file, open for reading, and the name that errors give it.
struct InputFile {
  std::string path;
  Handle handle;
};

/// @throws InputNotFound if there is no such file, or it is a directory, or may not be read
/// @throws InvalidData   if it is no HDF5 file, or truncated, or corrupt
/// @throws IoError       if reading fails, or somebody has it open for writing
InputFile open_input_file(const std::filesystem::path& path);

}  // namespace klmesh::io
