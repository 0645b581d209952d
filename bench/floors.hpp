// What bounds a kernel that reads pairs of logits, measured on this machine in the same run.
#pragma once

#include <cstdint>
#include <string>

#include "klmesh/logits.hpp"

namespace klmesh::bench {

/// Reads both arrays once, with nothing else to do.
/// @return bits of what was read, so that it must be read
std::uint64_t read_both(const void* a, const void* b, std::int64_t bytes);

/// The frozen reference loop: decode, two exp2, and the multiply-adds of the textbook sums (two normalisers, two first
/// moments, two cross moments) on data that stays in the first-level cache. It shares no code with the kernels and is
/// not to be changed with them: a ratio to it means the same in every version.
/// @param columns a multiple of 64
float reference_loop(DType dtype, const void* a, const void* b, std::int64_t columns);

/// The instruction set that both were compiled for, as chosen at run time.
std::string instruction_set();

}  // namespace klmesh::bench
