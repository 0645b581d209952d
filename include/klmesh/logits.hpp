// Borrowed views of logits and of the gradient that is written for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace klmesh {

/// Element types of logits in memory.
enum class DType { f32, f64, f16, bf16 };

/// Bytes of one element.
constexpr std::size_t dtype_bytes(DType dtype) noexcept {
  return dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2;
}

/// A borrowed (rows, columns) matrix of logits: one row per token position, the columns of one vocabulary shard.
struct LogitsView {
  const void* data = nullptr;     ///< first element; null only if rows or columns is 0
  DType dtype = DType::f32;       ///< element type
  std::int64_t rows = 0;          ///< token positions
  std::int64_t columns = 0;       ///< columns of this shard
  std::int64_t row_stride = 0;    ///< elements from one row to the next, >= columns
  /// (rows) which row of the memory each position reads (packed sequences); empty: row i reads row i
  std::span<const std::int64_t> row_index = {};
  double scale = 1.0;             ///< the logits are scale * data: 1 / temperature; finite, > 0

  std::int64_t memory_row(std::int64_t row) const noexcept {
    return row_index.empty() ? row : row_index[static_cast<std::size_t>(row)];
  }
};

/// A dense view of row-major logits.
inline LogitsView logits_view(const float* data, std::int64_t rows, std::int64_t columns) {
  return {data, DType::f32, rows, columns, columns};
}
inline LogitsView logits_view(const double* data, std::int64_t rows, std::int64_t columns) {
  return {data, DType::f64, rows, columns, columns};
}

/// Where a gradient goes: (rows, columns), the same shape as the policy logits; row i goes to row i (row lists are
/// not followed). May be the policy logits themselves (in place), if dtype, stride and rows are theirs.
struct GradientView {
  void* data = nullptr;
  DType dtype = DType::f32;  ///< f32, bf16 or f16
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t row_stride = 0;
  bool accumulate = false;  ///< add to what is there instead of overwriting it; f32 alone
};

/// A dense f32 gradient that is overwritten.
inline GradientView gradient_view(float* data, std::int64_t rows, std::int64_t columns) {
  return {data, DType::f32, rows, columns, columns, false};
}

/// What accompanies the rows of a batch. Every span is empty or has one entry per row.
struct RowInputs {
  std::span<const std::int64_t> targets;   ///< sampled token of each row (global vocabulary index)
  std::span<const std::uint8_t> mask;      ///< 1: the row counts, 0: it is not looked at; empty: all count
  std::span<const std::int64_t> sequence;  ///< dense sequence ids 0..G-1, for clustered errors

  bool counts(std::int64_t row) const noexcept { return mask.empty() || mask[static_cast<std::size_t>(row)] != 0; }
};

/// Weight of each differentiable quantity in the objective, row by row. Empty means 0 everywhere.
///
/// gradient() forms, in one pass, d/d(policy logits in memory, before their scale) of
/// sum over rows of kl_reverse*KL[pi||ref] + kl_forward*KL[ref||pi] + logp_policy*log pi(y) + entropy_policy*H(pi)
/// + jensen_shannon*JS(pi, ref).
struct RowScales {
  std::span<const double> kl_reverse;
  std::span<const double> kl_forward;
  std::span<const double> logp_policy;
  std::span<const double> entropy_policy;
  std::span<const double> jensen_shannon = {};  ///< needs rows that were evaluated with QuantitySet::all
};

}  // namespace klmesh
