// The error that invalid rows end in, the same on every rank.
#pragma once

#include <cstdint>

#include "klmesh/communicator.hpp"
#include "klmesh/statistics.hpp"

namespace klmesh {

/// Throws InvalidData that names rank, row and column of the first invalid row of the lowest rank that has one.
/// Collective over `world`.
/// @param own          this rank's StepSums::first_invalid(); row -1 if it has none
/// @param inputs_alone name a row whose target or sequence id is wrong, rather than one with invalid logits
/// @param invalid_rows how many there are on all ranks together
[[noreturn]] void throw_first_invalid(Communicator& world, const InvalidRow& own, bool inputs_alone,
                                      std::int64_t invalid_rows);

}  // namespace klmesh
