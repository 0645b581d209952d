// Arrays of which each element is computed by one rank of a group and needed by all.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/communicator.hpp"

namespace klmesh::loop {

/// Completes `values`: each element is set on exactly one rank of `group`, and 0 on the others.
inline void gather_owned(std::span<std::int64_t> values, Communicator& group) { group.all_reduce(values, {}); }

}  // namespace klmesh::loop
