// Structs whose size says which version of the header the caller was built with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "capi/status.hpp"

namespace klmesh::capi {

/// Bytes of a struct in the first version that had it. To be specialised, with the old size, once fields are appended.
template <typename T>
inline constexpr std::size_t kFirstVersionBytes = sizeof(T);

/// @throws InvalidArgument if no version of T has that many bytes
template <typename T>
void require_size(std::size_t size, std::string_view name) {
  // The upper bound is there to catch what was never set before it is followed.
  if (size >= kFirstVersionBytes<T> && size <= 16 * sizeof(T)) return;
  throw InvalidArgument(std::string(name) + " has " + std::to_string(size) + " bytes, expected " +
                        std::to_string(sizeof(T)));
}

/// Copies `size` bytes of a caller's struct; fields that the caller does not know are zero.
/// @throws InvalidArgument if the size fits no version, or something is set that this version does not know
template <typename T>
T read_sized(const void* from, std::size_t size, std::string_view name) {
  static_assert(std::is_trivially_copyable_v<T>);
  require_size<T>(size, name);
  const auto* bytes = static_cast<const std::byte*>(from);
  if (size > sizeof(T) && std::any_of(bytes + sizeof(T), bytes + size, [](std::byte b) { return b != std::byte{}; })) {
    throw InvalidArgument(std::string(name) + " has fields set that this version of the library does not know");
  }
  T value{};
  std::memcpy(&value, bytes, std::min(size, sizeof(T)));
  return value;
}

/// Copies `value` into a caller's struct of `size` bytes; fields that this version does not know become zero.
template <typename T>
void write_sized(const T& value, void* to, std::size_t size) {
  static_assert(std::is_trivially_copyable_v<T>);
  auto* bytes = static_cast<std::byte*>(to);
  std::memcpy(bytes, &value, std::min(size, sizeof(T)));
  if (size > sizeof(T)) std::memset(bytes + sizeof(T), 0, size - sizeof(T));
}

/// Reads a struct that begins with struct_size.
template <typename T>
T read(const T* from, std::string_view name) {
  return read_sized<T>(from, require(from, name).struct_size, name);
}

/// The same, where a null pointer means all defaults.
template <typename T>
T read_or_default(const T* from, std::string_view name) {
  return from == nullptr ? T{} : read(from, name);
}

/// Whether write() could write there.
template <typename T>
void require_output(const T* to, std::string_view name) {
  require_size<T>(require(to, name).struct_size, name);
}

/// Writes a struct that begins with struct_size, which is left as the caller set it.
/// @throws InvalidArgument if `to` is null or its size fits no version
template <typename T>
void write(T value, T* to, std::string_view name) {
  require_output(to, name);
  value.struct_size = to->struct_size;
  write_sized(value, to, value.struct_size);
}

}  // namespace klmesh::capi
