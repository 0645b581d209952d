#include "io/state_file.hpp"

#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "io/input_error.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

// HDF5 tells open in-memory files apart by name alone.
std::string unique_name() {
  static std::atomic<std::uint64_t> next{0};
  return fmt::format("klmesh-state-{}", next.fetch_add(1, std::memory_order_relaxed));
}

Handle open_image(std::span<const std::byte> bytes) {
  constexpr std::size_t growth_bytes = 1 << 16;
  Handle access = Handle::adopt(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate", H5Pclose);
  check(H5Pset_fapl_core(access.get(), growth_bytes, false), "H5Pset_fapl_core");
  check(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), "H5Pset_fclose_degree");
  // Copied by HDF5; its C interface just is not const.
  check(H5Pset_file_image(access.get(), const_cast<std::byte*>(bytes.data()), bytes.size()), "H5Pset_file_image");
  Handle file = Handle::adopt(H5Fopen(unique_name().c_str(), H5F_ACC_RDONLY, access.get()), "H5Fopen", H5Fclose);
  access.close();
  return file;
}

template <Element T>
hid_t memory_type() {
  if constexpr (std::same_as<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::same_as<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::same_as<T, std::int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::same_as<T, std::int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::same_as<T, std::uint8_t>) return H5T_NATIVE_UINT8;
}

// Of the class and size of T: a conversion could lose bits.
template <Element T>
void require_type(hid_t dataset, std::string_view place) {
  Handle type = Handle::adopt(H5Dget_type(dataset), "H5Dget_type", H5Tclose);
  Handle native = Handle::adopt(H5Tget_native_type(type.get(), H5T_DIR_ASCEND), "H5Tget_native_type", H5Tclose);
  if (check(H5Tequal(native.get(), memory_type<T>()), "H5Tequal") == 0) refuse(place, "has another type");
  native.close();
  type.close();
}

std::array<std::int64_t, 2> extent_of(hid_t dataset, std::string_view place) {
  Handle space = Handle::adopt(H5Dget_space(dataset), "H5Dget_space", H5Sclose);
  if (check(H5Sget_simple_extent_ndims(space.get()), "H5Sget_simple_extent_ndims") != 2) {
    refuse(place, "does not have two dimensions");
  }
  std::array<hsize_t, 2> extent{};
  check(H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr), "H5Sget_simple_extent_dims");
  space.close();
  return {static_cast<std::int64_t>(extent[0]), static_cast<std::int64_t>(extent[1])};
}

}  // namespace

StateReader::StateReader(std::string place, std::span<const std::byte> bytes) : place_(std::move(place)) {
  const SilentErrors silent;
  file_ = reading(place_, [&] { return open_image(bytes); });
}

template <Element T>
std::vector<T> StateReader::read(const std::string& name, std::array<std::int64_t, 2> extent) const {
  const SilentErrors silent;
  const std::string place = dataset_place(place_, name);
  return reading(place, [&] {
    if (check(H5Lexists(file_.get(), name.c_str(), H5P_DEFAULT), "H5Lexists") == 0) refuse(place, "is missing");
    Handle dataset = Handle::adopt(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), "H5Dopen2", H5Dclose);
    require_type<T>(dataset.get(), place);
    const auto [rows, columns] = extent_of(dataset.get(), place);
    if ((extent[0] >= 0 && rows != extent[0]) || columns != extent[1]) {
      refuse(place, fmt::format("is ({}, {}), expected ({}, {})", rows, columns,
                                extent[0] < 0 ? "any" : std::to_string(extent[0]), extent[1]));
    }
    std::vector<T> values(static_cast<std::size_t>(rows * columns));
    if (!values.empty()) {
      check(H5Dread(dataset.get(), memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "H5Dread");
    }
    dataset.close();
    return values;
  });
}

template std::vector<double> StateReader::read(const std::string&, std::array<std::int64_t, 2>) const;
template std::vector<float> StateReader::read(const std::string&, std::array<std::int64_t, 2>) const;
template std::vector<std::int32_t> StateReader::read(const std::string&, std::array<std::int64_t, 2>) const;
template std::vector<std::int64_t> StateReader::read(const std::string&, std::array<std::int64_t, 2>) const;
template std::vector<std::uint8_t> StateReader::read(const std::string&, std::array<std::int64_t, 2>) const;

}  // namespace klmesh::io
