// Opens the bytes of an HDF5 file and reads it with the C API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/hdf5_handle.hpp"

namespace klmesh::io {

inline Handle open_image(std::span<const std::byte> image) {
  Handle access = Handle::adopt(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate", H5Pclose);
  check(H5Pset_fapl_core(access.get(), 1 << 16, false), "H5Pset_fapl_core");
  // HDF5 copies the buffer and never writes to ours; its interface is older than const.
  check(H5Pset_file_image(access.get(), const_cast<std::byte*>(image.data()), image.size()),
        "H5Pset_file_image");
  return Handle::adopt(H5Fopen("read-back", H5F_ACC_RDONLY, access.get()), "H5Fopen", H5Fclose);
}

inline Handle open_dataset(const Handle& file, const std::string& name) {
  return Handle::adopt(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), "H5Dopen2", H5Dclose);
}

inline std::vector<hsize_t> extent(const Handle& dataset) {
  const Handle space = Handle::adopt(H5Dget_space(dataset.get()), "H5Dget_space", H5Sclose);
  std::vector<hsize_t> extent(check(H5Sget_simple_extent_ndims(space.get()), "H5Sget_simple_extent_ndims"));
  check(H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr), "H5Sget_simple_extent_dims");
  return extent;
}

inline std::vector<double> read_doubles(const Handle& file, const std::string& name) {
  const Handle dataset = open_dataset(file, name);
  std::size_t size = 1;
  for (const hsize_t n : extent(dataset)) size *= n;
  std::vector<double> values(size);
  if (size != 0)
    check(H5Dread(dataset.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "H5Dread");
  return values;
}

/// The type is exactly that: class, size, sign, byte order.
inline bool has_type(const Handle& dataset, hid_t type) {
  const Handle own = Handle::adopt(H5Dget_type(dataset.get()), "H5Dget_type", H5Tclose);
  return check(H5Tequal(own.get(), type), "H5Tequal") > 0;
}

inline std::int64_t read_integer_attribute(hid_t object, const std::string& name) {
  const Handle attribute = Handle::adopt(H5Aopen(object, name.c_str(), H5P_DEFAULT), "H5Aopen", H5Aclose);
  std::int64_t value = 0;
  check(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), "H5Aread");
  return value;
}

/// Fails unless the attribute says that it is UTF-8.
inline std::string read_string_attribute(hid_t object, const std::string& name) {
  const Handle attribute = Handle::adopt(H5Aopen(object, name.c_str(), H5P_DEFAULT), "H5Aopen", H5Aclose);
  const Handle type = Handle::adopt(H5Aget_type(attribute.get()), "H5Aget_type", H5Tclose);
  if (H5Tget_cset(type.get()) != H5T_CSET_UTF8) throw std::runtime_error(name + " is not marked as UTF-8");
  char* text = nullptr;
  check(H5Aread(attribute.get(), type.get(), &text), "H5Aread");
  std::string copy = text;
  check(H5free_memory(text), "H5free_memory");
  return copy;
}

}  // namespace klmesh::io
