// Arrays of klmesh_token as the engine's TokenStats, and back.
#pragma once

#include <cstdint>
#include <vector>

#include "klmesh/divergence.hpp"
#include "klmesh/klmesh.h"

namespace klmesh::capi {

/// @throws InvalidArgument unless the pointer, the size of an entry and the count can be those of an array
void require_tokens(const klmesh_token* tokens, std::size_t token_size, std::int64_t count);

/// Reads `count` entries that lie `token_size` bytes apart. Checks as require_tokens() does.
void read_tokens(const klmesh_token* tokens, std::size_t token_size, std::int64_t count, std::vector<TokenStats>& into);

/// Writes one entry per element of `from`, `token_size` bytes apart.
void write_tokens(const std::vector<TokenStats>& from, klmesh_token* tokens, std::size_t token_size);

}  // namespace klmesh::capi
