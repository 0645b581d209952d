// What one lane has of a run at a time: vectors of eight columns of both sides, packed as they lie in memory.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "core/cuda/columns.cuh"

namespace klmesh::cuda {

/// Padding behind the end of a run: equal on both sides and finite, so that no path is changed by it; far below every
/// logit that weighs anything, and no number that somebody would use as a mask.
inline constexpr float kPadLogit = -0x1.4ap100f;

/// |b - a| below which a column is near. Differences are rounded to 8 bits before they are compared with it; below
/// ln 2 / 2 the general path is the near one, bit for bit.
inline constexpr float kNearU = 0.34f;

struct ChunkRange {
  bool near;         ///< every column is, with finite logits
  float policy_max;
};

// A maximum that lets NaN through.
__device__ __forceinline__ float max_nan(float x, float y) {
  float r;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
/// How elements of a type lie in 32-bit words, and what is done with whole words.
template <DType kType>
struct Elements;

template <>
struct Elements<DType::bf16> {
  static constexpr int kPerWord = 2;
  static constexpr unsigned kPadWord = 0xf1a5f1a5u;  // two of kPadLogit
  using Pair = __nv_bfloat162;
  static __device__ __forceinline__ Pair pair_of(float x) { return __float2bfloat162_rn(x); }
  static __device__ __forceinline__ float low(unsigned word) { return __uint_as_float(word << 16); }
  static __device__ __forceinline__ float high(unsigned word) { return __uint_as_float(word & 0xffff0000u); }
};

template <>
struct Elements<DType::f16> {
  static constexpr int kPerWord = 2;
  static constexpr unsigned kPadWord = 0xfc00fc00u;  // two of -inf: no finite f16 is low enough
  using Pair = __half2;
  static __device__ __forceinline__ Pair pair_of(float x) { return __float2half2_rn(x); }
  static __device__ __forceinline__ float low(unsigned word) { return __low2float(*reinterpret_cast<const __half2*>(&word)); }
  static __device__ __forceinline__ float high(unsigned word) { return __high2float(*reinterpret_cast<const __half2*>(&word)); }
};

template <>
struct Elements<DType::f32> {
  static constexpr int kPerWord = 1;
  static constexpr unsigned kPadWord = 0xf1a50000u;  // kPadLogit
  static __device__ __forceinline__ float low(unsigned word) { return __uint_as_float(word); }
};

/// kVectors times eight columns of each side.
template <DType kType, int kVectors>
struct Chunk {
  static constexpr int kPerWord = Elements<kType>::kPerWord;
  static constexpr int kWordsPerVector = kUnit / kPerWord;
  static constexpr int kWords = kVectors * kWordsPerVector;
  unsigned a[kWords], b[kWords];
};

template <int kVectors>
__device__ __forceinline__ ChunkRange chunk_range(const Chunk<DType::f32, kVectors>& chunk) {
  const auto a = [&chunk](int i) { return __uint_as_float(chunk.a[i]); };
  const auto d = [&chunk](int i) { return fabsf(__uint_as_float(chunk.b[i]) - __uint_as_float(chunk.a[i])); };
  float d_max = d(0), a_max = a(0), a_min = a(0);
#pragma unroll
  for (int i = 1; i < chunk.kWords; ++i) {
    d_max = max_nan(d_max, d(i));
    a_max = fmaxf(a_max, a(i));
    a_min = fminf(a_min, a(i));
  }
  return {d_max < kNearU && a_min >= kPadLogit, a_max};
}

/// Two columns at a time: nothing is decoded.
template <DType kType, int kVectors>
__device__ __forceinline__ ChunkRange chunk_range(const Chunk<kType, kVectors>& chunk) {
  using Pair = typename Elements<kType>::Pair;
  const auto pair = [](const unsigned& word) { return *reinterpret_cast<const Pair*>(&word); };
  Pair d_max = __hsub2(pair(chunk.b[0]), pair(chunk.a[0])), d_min = d_max, a_max = pair(chunk.a[0]), a_min = a_max;
#pragma unroll
  for (int i = 1; i < chunk.kWords; ++i) {
    const Pair a = pair(chunk.a[i]), d = __hsub2(pair(chunk.b[i]), a);
    d_max = __hmax2_nan(d_max, d);
    d_min = __hmin2_nan(d_min, d);
    a_max = __hmax2(a_max, a);
    a_min = __hmin2(a_min, a);
  }
  const Pair d_bound = Elements<kType>::pair_of(kNearU), pad = Elements<kType>::pair_of(kPadLogit);
  return {__hblt2(__hmax2_nan(d_max, __hneg2(d_min)), d_bound) && __hbge2(a_min, pad),
          fmaxf(__low2float(a_max), __high2float(a_max))};
}

/// How far the columns of a row are from 16-byte alignment; the same for every slice of the row.
enum class Alignment { vector, word, half_word };

__device__ __forceinline__ Alignment alignment_of(const char* row) {
  const auto address = reinterpret_cast<std::uintptr_t>(row);
  return (address & 15) == 0 ? Alignment::vector : (address & 3) == 0 ? Alignment::word : Alignment::half_word;
}

/// Eight columns; whatever the alignment, the same words.
template <DType kType>
__device__ __forceinline__ void load_vector(const char* at, Alignment alignment, unsigned* words) {
  constexpr int kWords = kUnit / Elements<kType>::kPerWord;
  if (alignment == Alignment::vector) {
#pragma unroll
    for (int i = 0; i < kWords; i += 4) {
      const uint4 four = __ldcs(reinterpret_cast<const uint4*>(at) + i / 4);
      words[i] = four.x;
      words[i + 1] = four.y;
      words[i + 2] = four.z;
      words[i + 3] = four.w;
    }
  } else if (alignment == Alignment::word) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) words[i] = __ldg(reinterpret_cast<const unsigned*>(at) + i);
  } else if constexpr (kWords == 4) {
    // Two-byte elements at an odd one: the words between, shifted by half a word.
    const auto* middle = reinterpret_cast<const unsigned*>(at + 2);
    const unsigned first = __ldg(reinterpret_cast<const unsigned short*>(at));
    const unsigned w0 = __ldg(middle), w1 = __ldg(middle + 1), w2 = __ldg(middle + 2);
    const unsigned last = __ldg(reinterpret_cast<const unsigned short*>(at + 14));
    words[0] = __byte_perm(first, w0, 0x5410);
    words[1] = __byte_perm(w0, w1, 0x5432);
    words[2] = __byte_perm(w1, w2, 0x5432);
    words[3] = __byte_perm(w2, last, 0x5432);
  }
}

/// The first `columns` of eight, then padding; nothing else is read.
template <DType kType>
__device__ __forceinline__ void load_partial_vector(const char* at, Alignment alignment, int columns, unsigned* words) {
  constexpr int kWords = kUnit / Elements<kType>::kPerWord;
  if (columns >= kUnit) return load_vector<kType>(at, alignment, words);
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    words[i] = Elements<kType>::kPadWord;
    if constexpr (kType == DType::f32) {
      if (i < columns) words[i] = __ldg(reinterpret_cast<const unsigned*>(at) + i);
    } else {
      const auto* half_words = reinterpret_cast<const unsigned short*>(at);
      if (2 * i < columns) words[i] = (words[i] & 0xffff0000u) | __ldg(half_words + 2 * i);
      if (2 * i + 1 < columns) words[i] = (words[i] & 0x0000ffffu) | static_cast<unsigned>(__ldg(half_words + 2 * i + 1)) << 16;
    }
  }
}

}  // namespace klmesh::cuda
