// What bounds a kernel that reads pairs of logits and writes one gradient for each.
#pragma once

#include <cstdint>

namespace klmesh::bench {

/// Reads both arrays once and writes one of their size, past the caches, with nothing else to do.
void read_both_write_one(const void* a, const void* b, std::int64_t bytes, void* out);

}  // namespace klmesh::bench
