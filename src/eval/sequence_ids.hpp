// Foreign sequence ids as dense ones.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/communicator.hpp"

namespace klmesh::eval {

/// Replaces ids by 0..G-1, in the order of the foreign ids; the same id on different ranks becomes the same number.
/// Collective over `batch`. @return G
/// Cost: one exchange of the distinct ids.
std::int64_t make_dense(std::span<std::int64_t> ids, Communicator& batch);

}  // namespace klmesh::eval
