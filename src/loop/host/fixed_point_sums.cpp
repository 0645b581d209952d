#include "loop/host/fixed_point_sums.hpp"

#include <bit>
#include <cmath>

#include "loop/vector_clones.hpp"

namespace klmesh::loop {
namespace {

/// A double plus 1.5 * 2^52 holds the nearest integer in its low bits.
constexpr double kMagic = 0x1.8p52;
constexpr auto kMagicBits = std::bit_cast<std::uint64_t>(kMagic);

/// Adds fixed_point_word() of each value, for any that fits. Returns the bits of the largest magnitude: NaN compares
/// largest.
KLMESH_VECTOR_CLONES std::int32_t add_words(const float* values, std::int64_t* sums, std::size_t count) {
  // A word of 62 bits is too wide for the one-addition conversion, so it is split at bit 25: both halves are
  // exact up to the one rounding of the low half.
  constexpr std::uint64_t kOffset = (kMagicBits << 25) + kMagicBits;
  std::int32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t magnitude = std::bit_cast<std::int32_t>(values[i]) & 0x7FFFFFFF;
    largest = largest > magnitude ? largest : magnitude;
    const double value = static_cast<double>(values[i]) * 0x1p25;
    const double high = value + kMagic;
    const double low = (value - (high - kMagic)) * 0x1p25 + kMagic;
    const std::uint64_t word =
        (std::bit_cast<std::uint64_t>(high) << 25) + std::bit_cast<std::uint64_t>(low) - kOffset;
    sums[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(sums[i]) + word);
  }
  return largest;
}

KLMESH_VECTOR_CLONES void to_float(const std::int64_t* words, float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) values[i] = fixed_point_value(words[i]);
}

void raise_bound(const FixedPointTensor& tensor, double magnitude) {
  *tensor.bound = saturated_bound(*tensor.bound + bound_term(magnitude));
}

}  // namespace

void add(const FixedPointTensor& tensor, std::int64_t offset, std::span<const float> values) {
  const std::int32_t largest = add_words(values.data(), tensor.words + offset, values.size());
  raise_bound(tensor, std::bit_cast<float>(largest));
}

void add(const FixedPointTensor& tensor, std::int64_t offset, double value) {
  raise_bound(tensor, std::fabs(value));
  if (!fits_fixed_point(value)) return;  // out of range for int64
  std::int64_t& word = tensor.words[offset];
  word = wrapping_sum(word, fixed_point_word(value));
}

void read(std::span<const std::int64_t> words, std::span<float> values) {
  to_float(words.data(), values.data(), values.size());
}

}  // namespace klmesh::loop
