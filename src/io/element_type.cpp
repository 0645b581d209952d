#include "io/element_type.hpp"

#include <fmt/format.h>

#include <array>

#include "io/input_attribute.hpp"
#include "io/input_error.hpp"

namespace klmesh::io {
namespace {

// HDF5 1.10 has no predefined float16: 1 sign, 5 exponent and 10 fraction bits.
Handle half_type(H5T_order_t order) {
  Handle type = Handle::adopt(H5Tcopy(H5T_IEEE_F32LE), "H5Tcopy", H5Tclose);
  check(H5Tset_fields(type.get(), 15, 10, 5, 0, 10), "H5Tset_fields");
  check(H5Tset_size(type.get(), 2), "H5Tset_size");
  check(H5Tset_ebias(type.get(), 15), "H5Tset_ebias");
  check(H5Tset_order(type.get(), order), "H5Tset_order");
  return type;
}

bool is_either(hid_t type, hid_t little, hid_t big) {
  return check(H5Tequal(type, little), "H5Tequal") > 0 || check(H5Tequal(type, big), "H5Tequal") > 0;
}

bool is_half(hid_t type) {
  return is_either(type, half_type(H5T_ORDER_LE).get(), half_type(H5T_ORDER_BE).get());
}

Handle native_copy(hid_t type) { return Handle::adopt(H5Tcopy(type), "H5Tcopy", H5Tclose); }

}  // namespace

std::size_t element_bytes(ElementType type) {
  switch (type) {
    case ElementType::f16:
    case ElementType::bf16:
      return 2;
    case ElementType::f32:
      return 4;
    case ElementType::f64:
      break;
  }
  return 8;
}

std::string_view element_name(ElementType type) {
  constexpr std::array<std::string_view, 4> names{"float16", "bfloat16", "float32", "float64"};
  return names[static_cast<std::size_t>(type)];
}

Handle memory_type(ElementType type) {
  switch (type) {
    case ElementType::f16:
      return half_type(check(H5Tget_order(H5T_NATIVE_FLOAT), "H5Tget_order") == H5T_ORDER_LE ? H5T_ORDER_LE
                                                                                             : H5T_ORDER_BE);
    case ElementType::bf16:
      return native_copy(H5T_NATIVE_UINT16);
    case ElementType::f32:
      return native_copy(H5T_NATIVE_FLOAT);
    case ElementType::f64:
      break;
  }
  return native_copy(H5T_NATIVE_DOUBLE);
}

ElementType element_type_of(hid_t dataset, hid_t type, std::string_view place) {
  if (is_either(type, H5T_IEEE_F32LE, H5T_IEEE_F32BE)) return ElementType::f32;
  if (is_either(type, H5T_IEEE_F64LE, H5T_IEEE_F64BE)) return ElementType::f64;
  if (is_half(type)) return ElementType::f16;
  constexpr std::string_view allowed =
      "must be float16, float32, float64, or uint16 with the attribute dtype = \"bfloat16\"";
  if (!is_either(type, H5T_STD_U16LE, H5T_STD_U16BE))
    refuse(place, fmt::format("is {} of {} bytes; {}", class_name(type), H5Tget_size(type), allowed));
  if (read_short_string(dataset, "dtype", place) != "bfloat16")
    refuse(place, fmt::format("is uint16 without that attribute; {}", allowed));
  return ElementType::bf16;
}

std::string_view class_name(hid_t type) {
  switch (check(H5Tget_class(type), "H5Tget_class")) {
    case H5T_INTEGER:
      return "integer";
    case H5T_FLOAT:
      return "float";
    case H5T_TIME:
      return "time";
    case H5T_STRING:
      return "string";
    case H5T_BITFIELD:
      return "bit field";
    case H5T_OPAQUE:
      return "opaque";
    case H5T_COMPOUND:
      return "compound";
    case H5T_REFERENCE:
      return "reference";
    case H5T_ENUM:
      return "enumeration";
    case H5T_VLEN:
      return "variable-length";
    case H5T_ARRAY:
      return "array";
    default:
      return "unknown";
  }
}

}  // namespace klmesh::io
