#include "io/file_image.hpp"

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace klmesh::io {
namespace {

constexpr std::size_t growth_bytes = std::size_t{1} << 20;

// HDF5 tells open in-memory files apart by name alone, so two images must not share one. It is not part of
// the file.
std::string unique_name() {
  static std::atomic<std::uint64_t> next{0};
  return fmt::format("klmesh-image-{}", next.fetch_add(1, std::memory_order_relaxed));
}

Handle creation_properties() {
  Handle properties = Handle::adopt(H5Pcreate(H5P_FILE_CREATE), "H5Pcreate", H5Pclose);
  check(H5Pset_obj_track_times(properties.get(), false), "H5Pset_obj_track_times");
  return properties;
}

Handle access_properties() {
  Handle properties = Handle::adopt(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate", H5Pclose);
  const hbool_t backing_store = false;
  check(H5Pset_fapl_core(properties.get(), growth_bytes, backing_store), "H5Pset_fapl_core");
  // With (LATEST, LATEST) the image would carry the mark of a file that is open for writing, and readers
  // refuse it.
  check(H5Pset_libver_bounds(properties.get(), H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST),
        "H5Pset_libver_bounds");
  check(H5Pset_fclose_degree(properties.get(), H5F_CLOSE_SEMI), "H5Pset_fclose_degree");
  return properties;
}

}  // namespace

FileImage::FileImage() {
  const SilentErrors silent;
  Handle creation = creation_properties();
  Handle access = access_properties();
  file_ = Handle::adopt(H5Fcreate(unique_name().c_str(), H5F_ACC_TRUNC, creation.get(), access.get()),
                        "H5Fcreate", H5Fclose);
  access.close();
  creation.close();
}

std::vector<std::byte> FileImage::finish() {
  const SilentErrors silent;
  check(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "H5Fflush");
  std::vector<std::byte> bytes(
      static_cast<std::size_t>(check(H5Fget_file_image(file_.get(), nullptr, 0), "H5Fget_file_image")));
  check(H5Fget_file_image(file_.get(), bytes.data(), bytes.size()), "H5Fget_file_image");
  file_.close();
  return bytes;
}

}  // namespace klmesh::io
