// What one lane has of a run at a time: vectors of eight columns of both sides, packed as they lie in memory; and what is
// looked at in them before they are added.
#pragma once

#include "core/cuda/columns.cuh"
#include "core/cuda/lane_form.cuh"

namespace klmesh::cuda {

/// Padding behind the end of a run: equal on both sides and finite, so that no path is changed by it; far below every
/// logit that weighs anything, and no number that somebody would use as a mask. f16 has no such number: beside it, the
/// padding of both sides is -inf.
inline constexpr float kPadLogit = -0x1.4ap100f;

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
  static constexpr int kPerWord = 2, kBytes = 2;
  static constexpr unsigned kPadWord = 0xf1a5f1a5u, kEmptyWord = 0xff80ff80u;  // two of kPadLogit, of -inf
  using Pair = __nv_bfloat162;
  static __device__ __forceinline__ Pair pair_of(float x) { return __float2bfloat162_rn(x); }
  static __device__ __forceinline__ float at(const unsigned* words, int i) {
    return __uint_as_float(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xffff0000u);
  }
};

template <>
struct Elements<DType::f16> {
  static constexpr int kPerWord = 2, kBytes = 2;
  static constexpr unsigned kPadWord = 0xfc00fc00u, kEmptyWord = kPadWord;
  using Pair = __half2;
  static __device__ __forceinline__ Pair pair_of(float x) { return __float2half2_rn(x); }
  static __device__ __forceinline__ float at(const unsigned* words, int i) {
    const auto pair = *reinterpret_cast<const __half2*>(words + i / 2);
    return i % 2 == 0 ? __low2float(pair) : __high2float(pair);
  }
};

template <>
struct Elements<DType::f32> {
  static constexpr int kPerWord = 1, kBytes = 4;
  static constexpr unsigned kPadWord = 0xf1a50000u, kEmptyWord = 0xff800000u;
  static __device__ __forceinline__ float at(const unsigned* words, int i) { return __uint_as_float(words[i]); }
};

/// What a word behind the end holds, where the other side's are of type kOther.
template <DType kType, DType kOther>
inline constexpr unsigned kPadWordBeside = kOther == DType::f16 ? Elements<kType>::kEmptyWord : Elements<kType>::kPadWord;

/// Words that eight columns take.
template <DType kType>
inline constexpr int kVectorWords = kUnit / Elements<kType>::kPerWord;

/// kVectors times eight columns of each side.
template <typename Form, int kVectors>
struct Chunk {
  static constexpr int kColumns = kVectors * kUnit;
  unsigned a[kVectors * kVectorWords<Form::kPolicy>], b[kVectors * kVectorWords<Form::kReference>];
  __device__ __forceinline__ float policy(int i) const { return Elements<Form::kPolicy>::at(a, i); }
  __device__ __forceinline__ float reference(int i) const { return Elements<Form::kReference>::at(b, i); }
  /// Takes the first two columns off, so that a short loop can go through all of them without indexing registers.
  __device__ __forceinline__ void drop_two() {
    drop<2 / Elements<Form::kPolicy>::kPerWord>(a);
    drop<2 / Elements<Form::kReference>::kPerWord>(b);
  }

 private:
  template <int kCount, int kWords>
  static __device__ __forceinline__ void drop(unsigned (&words)[kWords]) {
#pragma unroll
    for (int i = 0; i + kCount < kWords; ++i) words[i] = words[i + kCount];
  }
};

/// Differences that make a column's arithmetic simple, before scaling.
struct Bounds {
  float near;      ///< |b - a| from which on a column is not near; 0: none is
  float ordinary;  ///< |b - a| up to which fp32 can do it, whatever it is
};

/// What a lane has seen of its logits, and what it looks for.
template <typename Form, bool kPacked = Form::kPacked>
class Watch {
 public:
  struct Range {
    float d_max;
  };
  __device__ explicit Watch(const Bounds& bounds) : bounds_(bounds) {}

  template <int kVectors>
  __device__ __forceinline__ Range look(const Chunk<Form, kVectors>& chunk) {
    Range range{0.0f};
#pragma unroll
    for (int i = 0; i < chunk.kColumns; ++i) {
      const float a = chunk.policy(i);
      range.d_max = max_nan(range.d_max, fabsf(chunk.reference(i) - a));
      top_ = fmaxf(top_, a);
    }
    return range;
  }
  /// Whether every column is, with finite logits.
  __device__ __forceinline__ bool near(const Range& r) const { return r.d_max < bounds_.near; }
  __device__ __forceinline__ bool ordinary(const Range& r) const { return r.d_max <= bounds_.ordinary; }

  __device__ __forceinline__ bool above_limit() const { return !(top_ <= limit_); }
  __device__ void set_limit(float limit) { limit_ = limit; }
  /// The largest policy logit, padding included.
  __device__ float top() const { return top_; }

 private:
  float top_ = -INFINITY, limit_ = -INFINITY;
  Bounds bounds_;
};

// Whether it is so of both halves. Asked one by one: the comparison of pairs makes a mask, which has to be compared again.
template <typename Pair>
__device__ __forceinline__ bool both_below(Pair x, Pair bound) {
  return __hlt(x.x, bound.x) && __hlt(x.y, bound.y);
}
template <typename Pair>
__device__ __forceinline__ bool both_at_most(Pair x, Pair bound) {
  return __hle(x.x, bound.x) && __hle(x.y, bound.y);
}

/// Two columns at a time: nothing is decoded.
template <typename Form>
class Watch<Form, true> {
  using E = Elements<Form::kPolicy>;
  using Pair = typename E::Pair;

 public:
  struct Range {
    Pair d_max, d_min;  // no |d|: taking it costs more than a second bound
  };
  __device__ explicit Watch(const Bounds& bounds) : bounds_(bounds), near_(E::pair_of(bounds.near)) {}

  template <int kVectors>
  __device__ __forceinline__ Range look(const Chunk<Form, kVectors>& chunk) {
    const auto pair = [](const unsigned& word) { return *reinterpret_cast<const Pair*>(&word); };
    Range range{__hsub2(pair(chunk.b[0]), pair(chunk.a[0])), {}};
    range.d_min = range.d_max;
    top_ = __hmax2(top_, pair(chunk.a[0]));
#pragma unroll
    for (int i = 1; i < chunk.kColumns / 2; ++i) {
      const Pair a = pair(chunk.a[i]), d = __hsub2(pair(chunk.b[i]), a);
      range.d_max = __hmax2_nan(range.d_max, d);
      range.d_min = __hmin2_nan(range.d_min, d);
      top_ = __hmax2(top_, a);
    }
    return range;
  }
  __device__ __forceinline__ bool near(const Range& r) const { return both_below(magnitude(r), near_); }
  __device__ __forceinline__ bool ordinary(const Range& r) const {
    return both_at_most(magnitude(r), E::pair_of(bounds_.ordinary));
  }

  __device__ __forceinline__ bool above_limit() const { return !both_at_most(top_, limit_); }
  __device__ void set_limit(float limit) { limit_ = E::pair_of(limit); }
  __device__ float top() const { return fmaxf(__low2float(top_), __high2float(top_)); }

 private:
  static __device__ __forceinline__ Pair magnitude(const Range& r) { return __hmax2_nan(r.d_max, __hneg2(r.d_min)); }
  Pair top_ = E::pair_of(-INFINITY), limit_ = E::pair_of(-INFINITY);
  Bounds bounds_;
  Pair near_;
};

/// Which accesses the columns of a row allow; the same for every slice of the row.
struct Alignment {
  unsigned low_bits;  ///< of an address
  __device__ __forceinline__ bool vectors() const { return (low_bits & 15) == 0; }
  __device__ __forceinline__ bool words() const { return (low_bits & 3) == 0; }
};
inline constexpr Alignment kVectorAligned{0};

__device__ __forceinline__ Alignment alignment_of(const char* row) {
  return {static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(row))};
}

/// Eight columns; whatever the alignment, the same words.
template <DType kType>
__device__ __forceinline__ void load_vector(const char* at, Alignment alignment, unsigned* words) {
  constexpr int kWords = kVectorWords<kType>;
  if (alignment.vectors()) {
#pragma unroll
    for (int i = 0; i < kWords; i += 4) {
      const uint4 four = __ldcs(reinterpret_cast<const uint4*>(at) + i / 4);
      words[i] = four.x;
      words[i + 1] = four.y;
      words[i + 2] = four.z;
      words[i + 3] = four.w;
    }
  } else if (alignment.words()) {
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
template <DType kType, DType kOther>
__device__ __forceinline__ void load_partial_vector(const char* at, Alignment alignment, int columns, unsigned* words) {
  constexpr int kWords = kVectorWords<kType>;
#pragma unroll
  for (int i = 0; i < kWords; ++i) words[i] = kPadWordBeside<kType, kOther>;
  if (columns >= kUnit) return load_vector<kType>(at, alignment, words);
  if (columns <= 0) return;
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
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
