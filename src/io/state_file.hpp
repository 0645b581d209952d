// One state file of a checkpoint: named arrays in an HDF5 image.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/file_image.hpp"
#include "io/hdf5_handle.hpp"
#include "io/hdf5_write.hpp"

namespace klmesh::io {

/// Builds the file in memory. The same calls give the same bytes.
class StateWriter {
 public:
  /// Adds the dataset `name` (extent[0], extent[1]), row-major. @throws InvalidArgument, Hdf5Error
  template <Element T>
  void add(const std::string& name, std::span<const T> values, std::array<std::int64_t, 2> extent) {
    write_dataset(image_.root(), name, values, extent).close();
  }

  /// The bytes; the last call. @throws Hdf5Error
  [[nodiscard]] std::vector<std::byte> finish() { return image_.finish(); }

 private:
  FileImage image_;
};

/// Reads such a file from memory. The bytes must be what a StateWriter gave: check their hash first.
class StateReader {
 public:
  /// @param place names the file in errors
  /// @throws InvalidData naming `place`, if HDF5 cannot open it
  StateReader(std::string place, std::span<const std::byte> bytes);

  /// Reads the dataset `name`.
  /// @param extent as it must be in the file; -1 rows: any
  /// @throws InvalidData naming place and dataset: missing, of another type or shape, or unreadable
  template <Element T>
  std::vector<T> read(const std::string& name, std::array<std::int64_t, 2> extent) const;

 private:
  std::string place_;
  Handle file_;
};

}  // namespace klmesh::io
