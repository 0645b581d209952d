// AdamW on a GPU.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/stream.hpp"
#include "loop/adam_update.hpp"

namespace klmesh::loop::cuda {

/// adam_update() of every element: the host's bits for equal words.
/// @param parameters, gradient, first, second (elements); all but the gradient are updated in place
/// Cost: one pass, 32 bytes an element.
void adam_step(std::span<float> parameters, std::span<const std::int64_t> gradient, std::span<float> first,
               std::span<float> second, const AdamCoefficients& coefficients, StreamRef stream);

}  // namespace klmesh::loop::cuda
