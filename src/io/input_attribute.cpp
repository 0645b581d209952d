#include "io/input_attribute.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "io/input_error.hpp"

namespace klmesh::io {
namespace {

constexpr std::size_t longest_name = 64;

struct Attribute {
  Handle handle, type;
  bool single = false;  // exactly one value
};

std::optional<Attribute> open_attribute(hid_t object, const char* name) {
  if (check(H5Aexists(object, name), "H5Aexists") == 0) return std::nullopt;
  Attribute attribute;
  attribute.handle = Handle::adopt(H5Aopen(object, name, H5P_DEFAULT), "H5Aopen", H5Aclose);
  attribute.type = Handle::adopt(H5Aget_type(attribute.handle.get()), "H5Aget_type", H5Tclose);
  const Handle space = Handle::adopt(H5Aget_space(attribute.handle.get()), "H5Aget_space", H5Sclose);
  attribute.single = check(H5Sget_simple_extent_npoints(space.get()), "H5Sget_simple_extent_npoints") == 1;
  return attribute;
}

std::string read_variable(const Attribute& attribute) {
  char* text = nullptr;
  // The type of the file itself: HDF5 converts between ASCII and UTF-8 for no string.
  check(H5Aread(attribute.handle.get(), attribute.type.get(), &text), "H5Aread");
  if (text == nullptr) return {};
  std::string copy(text, strnlen(text, longest_name + 1));
  check(H5free_memory(text), "H5free_memory");
  return copy;
}

std::string read_fixed(const Attribute& attribute, std::size_t bytes) {
  std::string text(bytes, '\0');
  check(H5Aread(attribute.handle.get(), attribute.type.get(), text.data()), "H5Aread");
  text.resize(std::min(text.find('\0'), text.size()));
  text.resize(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace

std::optional<std::string> read_short_string(hid_t object, const char* name, std::string_view place) {
  return reading(place, [&]() -> std::optional<std::string> {
    const std::optional<Attribute> attribute = open_attribute(object, name);
    if (!attribute || !attribute->single) return std::nullopt;
    const hid_t type = attribute->type.get();
    if (check(H5Tget_class(type), "H5Tget_class") != H5T_STRING) return std::nullopt;
    if (check(H5Tis_variable_str(type), "H5Tis_variable_str") > 0) return read_variable(*attribute);
    const std::size_t bytes = H5Tget_size(type);
    if (bytes == 0 || bytes > longest_name) return std::nullopt;
    return read_fixed(*attribute, bytes);
  });
}

std::optional<std::int64_t> read_integer(hid_t object, const char* name, std::string_view place) {
  return reading(place, [&]() -> std::optional<std::int64_t> {
    const std::optional<Attribute> attribute = open_attribute(object, name);
    if (!attribute) return std::nullopt;
    const hid_t type = attribute->type.get();
    if (!attribute->single || check(H5Tget_class(type), "H5Tget_class") != H5T_INTEGER ||
        H5Tget_size(type) > sizeof(std::int64_t))
      refuse(place, fmt::format("attribute {}: must be one integer", name));
    std::int64_t value = 0;
    check(H5Aread(attribute->handle.get(), H5T_NATIVE_INT64, &value), "H5Aread");  // clamps
    return value;
  });
}

}  // namespace klmesh::io
