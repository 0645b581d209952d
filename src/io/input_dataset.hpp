// One dataset of an input file, refused unless it is of a kind that can be read safely.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "io/hdf5_handle.hpp"
#include "io/input_file.hpp"

namespace klmesh::io {

/// True if the root group has a link of that name, of whatever kind. @throws InvalidData
bool has_link(const InputFile& file, const std::string& name);

/// An open dataset of one or two dimensions, with data inside the file.
class InputDataset {
 public:
  /// Opens `name` of the root group, with a chunk cache for reading rows in order, see chunk_cache().
  /// @param rank 1 or 2
  /// @throws InvalidData unless it is a dataset behind a hard link, contiguous, compact or chunked, with no
  /// filter but gzip, shuffle and Fletcher-32, has `rank` dimensions, at least one column, and fits a 63-bit
  /// size
  static InputDataset open(const InputFile& file, const std::string& name, int rank);

  const std::string& place() const noexcept { return place_; }  ///< "FILE: dataset NAME", for errors
  hid_t id() const noexcept { return dataset_.get(); }
  hid_t type() const noexcept { return type_.get(); }
  std::int64_t rows() const noexcept { return extent_[0]; }
  std::int64_t columns() const noexcept { return extent_[1]; }  ///< 1 for a vector

  /// (rows, columns) of a chunk; (1, columns) where there are none.
  std::array<std::int64_t, 2> chunk() const noexcept;

  /// Reads `count` (rows, columns) elements from `first` on into `out`, row-major without gaps.
  /// @throws InvalidArgument if the range is not inside the dataset
  /// @throws InvalidData     if the data are corrupt; IoError if the device fails
  void read(std::array<std::int64_t, 2> first, std::array<std::int64_t, 2> count, hid_t memory_type,
            void* out) const;

 private:
  void require_safe_storage() const;
  void set_extent(int rank);
  void set_chunk(int rank);

  std::string place_;
  Handle dataset_, type_;
  int rank_ = 0;
  std::array<std::int64_t, 2> extent_{0, 1};
  std::optional<std::array<std::int64_t, 2>> chunk_;
};

}  // namespace klmesh::io
