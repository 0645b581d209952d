// The types that logits may have in a file.
#pragma once

#include <cstddef>
#include <string_view>

#include "io/hdf5_handle.hpp"

namespace klmesh::io {

enum class ElementType { f16, bf16, f32, f64 };

/// Bytes of one element, 2 to 8.
std::size_t element_bytes(ElementType type);

/// "float16", "bfloat16", "float32", "float64".
std::string_view element_name(ElementType type);

/// The HDF5 type of `type` in native byte order; bfloat16 is its bits, as uint16.
Handle memory_type(ElementType type);

/// The type of a dataset: an IEEE float of 2, 4 or 8 bytes in either byte order, or uint16 with the string
/// attribute dtype = "bfloat16".
/// @param place what errors name, see dataset_place()
/// @throws InvalidData if it is anything else
ElementType element_type_of(hid_t dataset, hid_t type, std::string_view place);

/// What a person calls the class of an HDF5 type: "compound", "variable-length", "integer" and so on.
std::string_view class_name(hid_t type);

}  // namespace klmesh::io
