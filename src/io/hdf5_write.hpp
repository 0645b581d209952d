// Writes attributes, groups and datasets, one line each.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "io/hdf5_handle.hpp"

namespace klmesh::io {

/// The types a dataset may have. In the file they are little-endian, whatever the machine.
template <typename T>
concept Element = std::same_as<T, double> || std::same_as<T, float> || std::same_as<T, std::int32_t> ||
    std::same_as<T, std::int64_t> || std::same_as<T, std::uint8_t>;

/// A scalar string attribute, UTF-8, of variable length: Python then reads a str, and no size limit applies.
/// @throws InvalidArgument if `value` has a NUL byte, which such a string cannot hold
void write_attribute(hid_t object, const std::string& name, const std::string& value);

/// A scalar 64-bit integer attribute.
void write_attribute(hid_t object, const std::string& name, std::int64_t value);

/// An empty group, without time stamps.
[[nodiscard]] Handle create_group(hid_t parent, const std::string& name);

/// A contiguous dataset (values.size()), without time stamps. Returned open, for its attributes: close() it.
template <Element T>
[[nodiscard]] Handle write_dataset(hid_t parent, const std::string& name, std::span<const T> values);

/// The same, (extent[0], extent[1]), row-major. @throws InvalidArgument if that is not values.size() elements
template <Element T>
[[nodiscard]] Handle write_dataset(hid_t parent, const std::string& name, std::span<const T> values,
                                   std::array<std::int64_t, 2> extent);

}  // namespace klmesh::io
