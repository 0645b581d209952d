// Reads the two kinds of attributes that an input may carry.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/hdf5_handle.hpp"

namespace klmesh::io {

/// One string of fixed or variable length, without its padding; none if there is no such attribute, or it is
/// no string, or not one string, or of a fixed length that no name needs.
/// @throws InvalidData if it cannot be read
std::optional<std::string> read_short_string(hid_t object, const char* name, std::string_view place);

/// One integer of any type; an unsigned one beyond 2^63 - 1 is 2^63 - 1. None if there is no such attribute.
/// @throws InvalidData if it is something else, or cannot be read
std::optional<std::int64_t> read_integer(hid_t object, const char* name, std::string_view place);

}  // namespace klmesh::io
