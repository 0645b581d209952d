// Every MPI return code passes through here.
#pragma once

#include <fmt/format.h>
#include <mpi.h>

#include <array>
#include <source_location>
#include <string_view>

#include "klmesh/error.hpp"

namespace klmesh::comm {

/// @throws MpiError with MPI's own words and the place of the call, unless `code` is MPI_SUCCESS
inline void check(int code, std::string_view call,
                  std::source_location where = std::source_location::current()) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
  throw MpiError(fmt::format("{}: {} (code {}) at {}:{}", call,
                             std::string_view(text.data(), static_cast<std::size_t>(length)), code,
                             where.file_name(), where.line()));
}

}  // namespace klmesh::comm
