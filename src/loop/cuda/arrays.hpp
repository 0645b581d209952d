// Element-wise operations on arrays of a GPU.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/stream.hpp"

namespace klmesh::loop::cuda {

void fill(std::span<double> values, double value, StreamRef stream);
void fill(std::span<std::int32_t> values, std::int32_t value, StreamRef stream);
void widen(std::span<const std::int32_t> from, std::span<std::int64_t> to, StreamRef stream);
void widen(std::span<const float> from, std::span<double> to, StreamRef stream);

}  // namespace klmesh::loop::cuda
