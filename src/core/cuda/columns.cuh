// Runs of eight columns of a row, in one or two 16-byte accesses where the alignment allows; and single columns.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "klmesh/logits.hpp"

namespace klmesh::cuda {

/// Columns that one thread takes at a time.
inline constexpr int kUnit = 8;

/// A LogitsView as kernels take it: std::span has no device members.
struct Side {
  const char* data;
  const std::int64_t* row_index;  // (rows) or null
  std::int64_t row_stride_bytes;
  DType dtype;
  int bytes;  // of an element
  double scale;

  explicit Side(const LogitsView& view)
      : data(static_cast<const char*>(view.data)), row_index(view.row_index.empty() ? nullptr : view.row_index.data()),
        row_stride_bytes(view.row_stride * static_cast<std::int64_t>(dtype_bytes(view.dtype))), dtype(view.dtype),
        bytes(static_cast<int>(dtype_bytes(view.dtype))),
        scale(view.scale) {}

  __device__ const char* row(std::int64_t i) const {
    return data + (row_index == nullptr ? i : row_index[i]) * row_stride_bytes;
  }
};

__device__ inline bool is_aligned(const void* at) { return (reinterpret_cast<std::uintptr_t>(at) & 15) == 0; }

/// Eight elements of two or four bytes, undecoded, so that the loads of both sides are under way before either is used.
struct RawUnit {
  uint4 low, high;  // high: of four-byte elements alone
};

__device__ inline RawUnit load_aligned(const char* at, int bytes) {
  RawUnit raw{__ldcs(reinterpret_cast<const uint4*>(at)), {}};
  if (bytes == 4) raw.high = __ldcs(reinterpret_cast<const uint4*>(at) + 1);
  return raw;
}

__device__ inline RawUnit load_elements(const char* at, int bytes) {
  if (bytes == 4) {
    const auto* p = reinterpret_cast<const unsigned*>(at);
    return {{p[0], p[1], p[2], p[3]}, {p[4], p[5], p[6], p[7]}};
  }
  const auto* p = reinterpret_cast<const unsigned short*>(at);
  const auto pair = [p](int i) { return p[i] | static_cast<unsigned>(p[i + 1]) << 16; };
  return {{pair(0), pair(2), pair(4), pair(6)}, {}};
}

/// @param bytes of an element: 2 or 4
/// @param aligned whether `at` is a multiple of 16 bytes; the values do not depend on it
__device__ inline RawUnit load_unit(const char* at, int bytes, bool aligned) {
  return aligned ? load_aligned(at, bytes) : load_elements(at, bytes);
}

__device__ inline float2 decode_bf16(unsigned pair) {
  return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}
__device__ inline float2 decode_f16(unsigned pair) {
  return __half22float2(*reinterpret_cast<const __half2*>(&pair));
}

/// @param dtype not f64
__device__ inline void decode(const RawUnit& raw, DType dtype, float (&x)[kUnit]) {
  const unsigned low[4] = {raw.low.x, raw.low.y, raw.low.z, raw.low.w};
  const unsigned high[4] = {raw.high.x, raw.high.y, raw.high.z, raw.high.w};
  if (dtype == DType::f32) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x[i] = __uint_as_float(low[i]);
      x[4 + i] = __uint_as_float(high[i]);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 two = dtype == DType::bf16 ? decode_bf16(low[i]) : decode_f16(low[i]);
    x[2 * i] = two.x;
    x[2 * i + 1] = two.y;
  }
}

/// One column as T: float (dtype not f64) or double. Exact.
template <typename T>
__device__ inline T load_element(const char* row, DType dtype, std::int64_t column) {
  if (dtype == DType::f32) return reinterpret_cast<const float*>(row)[column];
  if (dtype == DType::bf16) return __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(row)[column]);
  if (dtype == DType::f16) return __half2float(reinterpret_cast<const __half*>(row)[column]);
  return static_cast<T>(reinterpret_cast<const double*>(row)[column]);
}

/// Rounds to nearest, ties to even. @param dtype f32, bf16 or f16
__device__ inline void store_element(char* row, DType dtype, std::int64_t column, float value) {
  if (dtype == DType::f32) {
    reinterpret_cast<float*>(row)[column] = value;
  } else if (dtype == DType::bf16) {
    reinterpret_cast<__nv_bfloat16*>(row)[column] = __float2bfloat16_rn(value);
  } else {
    reinterpret_cast<__half*>(row)[column] = __float2half_rn(value);
  }
}

/// Eight columns from `first` on. @param aligned whether that address is a multiple of 16 bytes
__device__ inline void store_unit(char* row, DType dtype, std::int64_t first, const float (&x)[kUnit], bool aligned) {
  if (!aligned) {
#pragma unroll
    for (int i = 0; i < kUnit; ++i) store_element(row, dtype, first + i, x[i]);
    return;
  }
  if (dtype == DType::f32) {
    auto* at = reinterpret_cast<float4*>(row + first * 4);
    __stcs(at, make_float4(x[0], x[1], x[2], x[3]));
    __stcs(at + 1, make_float4(x[4], x[5], x[6], x[7]));
    return;
  }
  unsigned pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (dtype == DType::bf16) {
      const __nv_bfloat162 two = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
      pairs[i] = *reinterpret_cast<const unsigned*>(&two);
    } else {
      const __half2 two = __floats2half2_rn(x[2 * i], x[2 * i + 1]);
      pairs[i] = *reinterpret_cast<const unsigned*>(&two);
    }
  }
  __stcs(reinterpret_cast<uint4*>(row + first * 2), make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]));
}

}  // namespace klmesh::cuda
