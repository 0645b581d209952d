#include "io/input_error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace klmesh::io {
namespace {

// HDF5 keeps the cause in the text of its error stack alone. A corrupt address can give EINVAL or EFBIG:
// those are no device errors.
bool is_device_error(std::string_view text) {
  constexpr std::array device_errors{EIO, EAGAIN, ENOLCK, ESTALE, ETIMEDOUT, ENXIO, EREMOTEIO};
  return std::ranges::any_of(device_errors, [&](int error) {
    return text.find(fmt::format("errno = {},", error)) != std::string_view::npos;
  });
}

}  // namespace

std::string dataset_place(const std::string& path, std::string_view name) {
  return fmt::format("{}: dataset {}", path, name);
}

void refuse(std::string_view place, std::string_view text) {
  throw InvalidData(fmt::format("{}: {}", place, text));
}

void throw_input_error(std::string_view place, const Hdf5Error& error) {
  const std::string_view text = error.what();
  if (is_device_error(text)) throw IoError(fmt::format("{}: {}", place, text));
  refuse(place, fmt::format("corrupt, truncated or unsupported: {}", text));
}

}  // namespace klmesh::io
