// Logits of any type as the type that is computed in, a slice at a time; and gradients back to 16 bits.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "klmesh/logits.hpp"

namespace klmesh::cpu {

/// Exact conversions: every f16 and bf16 is an f32, every f32 an f64.
void decode(const void* from, DType dtype, std::int64_t count, float* to);
void decode(const void* from, DType dtype, std::int64_t count, double* to);

/// Rounds to nearest, ties to even. @param dtype f32, f16 or bf16
void encode(const float* from, std::int64_t count, DType dtype, void* to);

/// Runs of one side's columns as T: the memory itself if it holds T, else a decoded copy.
template <typename T>
class SliceReader {
 public:
  explicit SliceReader(const LogitsView& view) : view_(view) {}

  /// Columns [offset, offset + columns) of a row. Valid until the next call.
  const T* read(std::int64_t row, std::int64_t offset, std::int64_t columns) {
    const auto* bytes = static_cast<const char*>(view_.data);
    const std::int64_t element = view_.memory_row(row) * view_.row_stride + offset;
    const char* at = bytes + element * static_cast<std::int64_t>(dtype_bytes(view_.dtype));
    if (view_.dtype == kSame) return reinterpret_cast<const T*>(at);
    buffer_.resize(static_cast<std::size_t>(columns));
    decode(at, view_.dtype, columns, buffer_.data());
    return buffer_.data();
  }

 private:
  static constexpr DType kSame = std::is_same_v<T, double> ? DType::f64 : DType::f32;
  LogitsView view_;
  std::vector<T> buffer_;
};

}  // namespace klmesh::cpu
