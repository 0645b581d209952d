#include "io/input_integers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <limits>
#include <string_view>
#include <vector>

#include "io/element_type.hpp"
#include "io/input_error.hpp"

namespace klmesh::io {
namespace {

constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();

bool is_integer(hid_t type) {
  const std::size_t bytes = H5Tget_size(type);
  return check(H5Tget_class(type), "H5Tget_class") == H5T_INTEGER && bytes <= sizeof(std::int64_t) &&
         std::has_single_bit(bytes) && H5Tget_precision(type) == 8 * bytes;
}

// "true", however it is written.
std::string lower_member_name(hid_t type, unsigned member) {
  char* text = H5Tget_member_name(type, member);
  if (text == nullptr) throw_hdf5_error("H5Tget_member_name", std::source_location::current());
  std::string name = text;
  check(H5free_memory(text), "H5free_memory");
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

std::int64_t member_value(hid_t type, unsigned member) {
  const Handle base = Handle::adopt(H5Tget_super(type), "H5Tget_super", H5Tclose);
  std::int64_t value = 0;  // holds the base type before the conversion, and the result after it
  check(H5Tget_member_value(type, member, &value), "H5Tget_member_value");
  check(H5Tconvert(base.get(), H5T_NATIVE_INT64, 1, &value, nullptr, H5P_DEFAULT), "H5Tconvert");
  return value;
}

bool is_boolean(hid_t type) {
  if (check(H5Tget_class(type), "H5Tget_class") != H5T_ENUM) return false;
  const Handle base = Handle::adopt(H5Tget_super(type), "H5Tget_super", H5Tclose);
  if (!is_integer(base.get()) || check(H5Tget_nmembers(type), "H5Tget_nmembers") != 2) return false;
  for (unsigned member = 0; member < 2; ++member) {
    const std::string name = lower_member_name(type, member);
    if (!(name == "false" || name == "true") || member_value(type, member) != (name == "true")) return false;
  }
  return lower_member_name(type, 0) != lower_member_name(type, 1);
}

bool is_unsigned64(hid_t type) {
  const bool is_enumeration = check(H5Tget_class(type), "H5Tget_class") == H5T_ENUM;
  return !is_enumeration && H5Tget_size(type) == sizeof(std::uint64_t) &&
         check(H5Tget_sign(type), "H5Tget_sign") == H5T_SGN_NONE;
}

[[noreturn]] void refuse_type(const InputDataset& dataset, std::string_view wanted) {
  refuse(dataset.place(), fmt::format("is {} of {} bytes; must be {}", class_name(dataset.type()),
                                      H5Tget_size(dataset.type()), wanted));
}

std::uint64_t shown(std::uint64_t value, Beyond beyond) {
  return beyond == Beyond::clamp ? std::min(value, largest) : value;
}

}  // namespace

void require_integers(const InputDataset& dataset) {
  const SilentErrors silent;
  const bool is_right = reading(dataset.place(), [&] { return is_integer(dataset.type()); });
  if (!is_right) refuse_type(dataset, "integers");
}

void require_integers_or_booleans(const InputDataset& dataset) {
  const SilentErrors silent;
  const bool is_right =
      reading(dataset.place(), [&] { return is_integer(dataset.type()) || is_boolean(dataset.type()); });
  if (!is_right) refuse_type(dataset, "integers or booleans (enumeration FALSE = 0, TRUE = 1)");
}

void read_integers(const InputDataset& dataset, std::int64_t first, std::span<std::int64_t> out,
                   Beyond beyond) {
  const std::array<std::int64_t, 2> count{static_cast<std::int64_t>(out.size()), 1};
  if (!is_unsigned64(dataset.type())) return dataset.read({first, 0}, count, H5T_NATIVE_INT64, out.data());
  // Signed and unsigned 64-bit integers may alias.
  dataset.read({first, 0}, count, H5T_NATIVE_UINT64, out.data());
  for (std::int64_t& value : out)
    value = std::bit_cast<std::int64_t>(shown(std::bit_cast<std::uint64_t>(value), beyond));
}

void read_zeros_and_ones(const InputDataset& dataset, std::int64_t first, std::span<std::uint8_t> out) {
  std::vector<std::int64_t> values(out.size());
  read_integers(dataset, first, values, Beyond::clamp);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t row = first + static_cast<std::int64_t>(i);
    if (values[i] != 0 && values[i] != 1)
      refuse(dataset.place(), fmt::format("row {}: must be 0 or 1, is {}", row, integer_text(dataset, row)));
    out[i] = static_cast<std::uint8_t>(values[i]);
  }
}

std::string integer_text(const InputDataset& dataset, std::int64_t row) {
  std::int64_t value = 0;
  read_integers(dataset, row, {&value, 1}, Beyond::wrap);
  return is_unsigned64(dataset.type()) ? fmt::format("{}", std::bit_cast<std::uint64_t>(value))
                                       : fmt::format("{}", value);
}

}  // namespace klmesh::io
