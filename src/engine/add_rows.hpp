// From the tokens of a batch to the exact sums of a step, on the host.
#pragma once

#include <span>

#include "klmesh/engine.hpp"
#include "klmesh/statistics.hpp"

namespace klmesh {

/// Adds these rows of a batch: counted, masked and invalid ones, each as row_status() says.
void add_rows(std::span<const TokenStats> tokens, const RowInputs& inputs, RowRange rows, StepSums& sums);

}  // namespace klmesh
