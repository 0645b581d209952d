#include "io/hdf5_write.hpp"

#include <fmt/format.h>

#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

struct TypePair {
  hid_t memory;
  hid_t file;
};

template <Element T>
TypePair type_of() {
  if constexpr (std::same_as<T, double>) return {H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE};
  if constexpr (std::same_as<T, float>) return {H5T_NATIVE_FLOAT, H5T_IEEE_F32LE};
  if constexpr (std::same_as<T, std::int32_t>) return {H5T_NATIVE_INT32, H5T_STD_I32LE};
  if constexpr (std::same_as<T, std::int64_t>) return {H5T_NATIVE_INT64, H5T_STD_I64LE};
  if constexpr (std::same_as<T, std::uint8_t>) return {H5T_NATIVE_UINT8, H5T_STD_U8LE};
}

Handle utf8_string_type() {
  Handle type = Handle::adopt(H5Tcopy(H5T_C_S1), "H5Tcopy", H5Tclose);
  check(H5Tset_size(type.get(), H5T_VARIABLE), "H5Tset_size");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "H5Tset_cset");
  return type;
}

void write_scalar_attribute(hid_t object, const std::string& name, TypePair type, const void* value) {
  Handle space = Handle::adopt(H5Screate(H5S_SCALAR), "H5Screate", H5Sclose);
  Handle attribute =
      Handle::adopt(H5Acreate2(object, name.c_str(), type.file, space.get(), H5P_DEFAULT, H5P_DEFAULT),
                    "H5Acreate2", H5Aclose);
  check(H5Awrite(attribute.get(), type.memory, value), "H5Awrite");
  attribute.close();
  space.close();
}

// Every value is written right after creation, so HDF5 need not fill the space with zeros first.
Handle dataset_properties() {
  Handle properties = Handle::adopt(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate", H5Pclose);
  check(H5Pset_obj_track_times(properties.get(), false), "H5Pset_obj_track_times");
  check(H5Pset_layout(properties.get(), H5D_CONTIGUOUS), "H5Pset_layout");
  check(H5Pset_fill_time(properties.get(), H5D_FILL_TIME_NEVER), "H5Pset_fill_time");
  return properties;
}

template <Element T>
Handle write_extent(hid_t parent, const std::string& name, std::span<const T> values,
                    std::span<const hsize_t> extent) {
  const SilentErrors silent;
  const TypePair type = type_of<T>();
  Handle space = Handle::adopt(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr),
                               "H5Screate_simple", H5Sclose);
  Handle properties = dataset_properties();
  Handle dataset = Handle::adopt(
      H5Dcreate2(parent, name.c_str(), type.file, space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
      "H5Dcreate2", H5Dclose);
  if (!values.empty())
    check(H5Dwrite(dataset.get(), type.memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "H5Dwrite");
  properties.close();
  space.close();
  return dataset;
}

}  // namespace

void write_attribute(hid_t object, const std::string& name, const std::string& value) {
  if (value.find('\0') != std::string::npos)
    throw InvalidArgument(fmt::format("attribute {}: the text has a NUL byte", name));
  const SilentErrors silent;
  Handle type = utf8_string_type();
  const char* text = value.c_str();
  write_scalar_attribute(object, name, {type.get(), type.get()}, &text);
  type.close();
}

void write_attribute(hid_t object, const std::string& name, std::int64_t value) {
  const SilentErrors silent;
  write_scalar_attribute(object, name, type_of<std::int64_t>(), &value);
}

Handle create_group(hid_t parent, const std::string& name) {
  const SilentErrors silent;
  Handle properties = Handle::adopt(H5Pcreate(H5P_GROUP_CREATE), "H5Pcreate", H5Pclose);
  check(H5Pset_obj_track_times(properties.get(), false), "H5Pset_obj_track_times");
  Handle group = Handle::adopt(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
                               "H5Gcreate2", H5Gclose);
  properties.close();
  return group;
}

template <Element T>
Handle write_dataset(hid_t parent, const std::string& name, std::span<const T> values) {
  return write_extent(parent, name, values, std::array<hsize_t, 1>{values.size()});
}

template <Element T>
Handle write_dataset(hid_t parent, const std::string& name, std::span<const T> values,
                     std::array<std::int64_t, 2> extent) {
  const auto [rows, columns] = extent;
  const auto size = static_cast<std::int64_t>(values.size());
  // Division instead of rows * columns, which may overflow.
  const bool fits = rows >= 0 && columns >= 0 &&
                    (rows == 0 || columns == 0 ? size == 0 : size % columns == 0 && size / columns == rows);
  if (!fits)
    throw InvalidArgument(fmt::format("dataset {}: {} values cannot be ({}, {})", name, size, rows, columns));
  return write_extent(parent, name, values,
                      std::array<hsize_t, 2>{static_cast<hsize_t>(rows), static_cast<hsize_t>(columns)});
}

template Handle write_dataset(hid_t, const std::string&, std::span<const double>);
template Handle write_dataset(hid_t, const std::string&, std::span<const float>);
template Handle write_dataset(hid_t, const std::string&, std::span<const std::int32_t>);
template Handle write_dataset(hid_t, const std::string&, std::span<const std::int64_t>);
template Handle write_dataset(hid_t, const std::string&, std::span<const std::uint8_t>);
template Handle write_dataset(hid_t, const std::string&, std::span<const double>,
                              std::array<std::int64_t, 2>);
template Handle write_dataset(hid_t, const std::string&, std::span<const float>, std::array<std::int64_t, 2>);
template Handle write_dataset(hid_t, const std::string&, std::span<const std::int32_t>,
                              std::array<std::int64_t, 2>);
template Handle write_dataset(hid_t, const std::string&, std::span<const std::int64_t>,
                              std::array<std::int64_t, 2>);
template Handle write_dataset(hid_t, const std::string&, std::span<const std::uint8_t>,
                              std::array<std::int64_t, 2>);

}  // namespace klmesh::io
