// Every NCCL return code passes through here.
#pragma once

#include <fmt/format.h>
#include <nccl.h>

#include <source_location>
#include <string_view>

#include "klmesh/error.hpp"

namespace klmesh::comm {

/// Accepts "in progress" too: a communicator that does not block answers so, and is asked again later.
/// @throws NcclError with NCCL's own words and the place of the call
inline void check(ncclResult_t code, std::string_view call,
                  std::source_location where = std::source_location::current()) {
  if (code == ncclSuccess || code == ncclInProgress) return;
  throw NcclError(fmt::format("{}: {} (code {}) at {}:{}", call, ncclGetErrorString(code), static_cast<int>(code),
                              where.file_name(), where.line()));
}

}  // namespace klmesh::comm
