// An HDF5 file built in memory: the disk only ever sees whole files.
#pragma once

#include <cstddef>
#include <vector>

#include "io/hdf5_handle.hpp"

namespace klmesh::io {

/// A new HDF5 file that lives in memory until finish() gives its bytes. The same calls in the same order give
/// the same bytes: no time stamps, no names, no addresses. Readable by every HDF5 from 1.10 on. Cost: the
/// file twice in memory during finish().
class FileImage {
 public:
  /// @throws Hdf5Error
  FileImage();

  /// The root group: parent of what write_dataset() and the others write.
  hid_t root() const noexcept { return file_.get(); }

  /// The bytes of the file. The image is closed afterwards, and root() no longer valid.
  /// @throws Hdf5Error also if an object of the file is still open: its data might be missing
  [[nodiscard]] std::vector<std::byte> finish();

 private:
  Handle file_;
};

}  // namespace klmesh::io
