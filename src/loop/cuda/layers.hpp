// The parts of the policy's layers that are no matrix products.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/stream.hpp"
#include "loop/matrix.hpp"

namespace klmesh::loop::cuda {

/// rows[r][c] += bias[c].
/// @param rows (rows, bias.size()) without gaps
void add_bias(std::span<float> rows, std::span<const float> bias, StreamRef stream);

/// rows[r][c] = tanh(rows[r][c] + bias[c]). As add_bias().
void add_bias_tanh(std::span<float> rows, std::span<const float> bias, StreamRef stream);

/// gradient *= 1 - hidden^2. @param hidden (elements) after tanh
void tanh_backward(std::span<const float> hidden, std::span<float> gradient, StreamRef stream);

/// sums[c] = sum over rows of matrix[r][c], in fp64 and in an order that depends on the number of rows alone.
/// @param sums (columns) output
/// Cost: one read of the matrix.
void column_sums(Matrix<const float> matrix, std::span<float> sums, StreamRef stream);

}  // namespace klmesh::loop::cuda
