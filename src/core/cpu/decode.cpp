#include "core/cpu/decode.hpp"

#include <algorithm>
#include <bit>

namespace klmesh::cpu {
namespace {

float from_bf16(std::uint16_t x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16); }

// The exponent is moved by a multiplication, which makes subnormals come out right.
float from_f16(std::uint16_t x) {
  const std::uint32_t magnitude = static_cast<std::uint32_t>(x & 0x7fffu) << 13;
  const auto moved = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  const std::uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0u;
  return std::bit_cast<float>(moved | special | static_cast<std::uint32_t>(x & 0x8000u) << 16);
}

std::uint16_t to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

std::uint16_t to_f16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds past 65504
  if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 lines the result's last bit up with the float's, and rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t rebased = magnitude - (112u << 23);
  return static_cast<std::uint16_t>(sign | ((rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13));
}

template <typename To>
void decode_any(const void* from, DType dtype, std::int64_t count, To* to) {
  const auto convert = [count, to](const auto* source, auto&& function) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<To>(function(source[i]));
  };
  const auto same = [](auto x) { return x; };
  switch (dtype) {
    case DType::f32:
      return convert(static_cast<const float*>(from), same);
    case DType::f64:
      return convert(static_cast<const double*>(from), same);
    case DType::f16:
      return convert(static_cast<const std::uint16_t*>(from), from_f16);
    case DType::bf16:
      return convert(static_cast<const std::uint16_t*>(from), from_bf16);
  }
}

}  // namespace

void decode(const void* from, DType dtype, std::int64_t count, float* to) { decode_any(from, dtype, count, to); }
void decode(const void* from, DType dtype, std::int64_t count, double* to) { decode_any(from, dtype, count, to); }

void encode(const float* from, std::int64_t count, DType dtype, void* to) {
  if (dtype == DType::f32) {
    std::copy_n(from, count, static_cast<float*>(to));
  } else {
    auto* out = static_cast<std::uint16_t*>(to);
    const auto convert = dtype == DType::bf16 ? to_bf16 : to_f16;
    for (std::int64_t i = 0; i < count; ++i) out[i] = convert(from[i]);
  }
}

}  // namespace klmesh::cpu
