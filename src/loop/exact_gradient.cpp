#include "loop/exact_gradient.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "klmesh/error.hpp"
#include "loop/vector_clones.hpp"

namespace klmesh::loop {
namespace {

// Bounds are kept in units of 2^-30, rounded up. A saturated one is above any limit, and 2^18 of them still
// add up.
constexpr double kBoundScale = 0x1p30;
constexpr std::int64_t kSaturated = std::int64_t{1} << 44;
constexpr std::int64_t kBoundLimit = std::int64_t{1} << 43;
static_assert(static_cast<double>(kBoundLimit) == ExactGradient::kSumLimit * kBoundScale);

/// A double plus 1.5 * 2^52 holds the nearest integer in its low bits.
constexpr double kMagic = 0x1.8p52;
constexpr auto kMagicBits = std::bit_cast<std::uint64_t>(kMagic);

/// Sums that check() is going to refuse may wrap, which is defined for unsigned integers alone.
std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

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
  for (std::size_t i = 0; i < count; ++i)
    values[i] = static_cast<float>(static_cast<double>(words[i]) * 0x1p-50);
}

}  // namespace

std::uint32_t add_fixed_point(std::span<const float> values, std::int64_t* sums) {
  return static_cast<std::uint32_t>(add_words(values.data(), sums, values.size()));
}

ExactGradient::ExactGradient(std::vector<TensorSize> tensors) : tensors_(std::move(tensors)) {
  std::int64_t total = 0;
  for (const TensorSize& tensor : tensors_) {
    if (tensor.size < 0) throw InvalidArgument(fmt::format("tensor {} has a negative size", tensor.name));
    offsets_.push_back(total);
    total += tensor.size;
  }
  words_.assign(static_cast<std::size_t>(total) + tensors_.size(), 0);
}

void ExactGradient::clear() noexcept { std::fill(words_.begin(), words_.end(), 0); }

void ExactGradient::add(int tensor, std::int64_t offset, std::span<const float> values) {
  const std::uint32_t largest = add_fixed_point(values, words_.data() + offsets_[tensor] + offset);
  raise_bound(tensor, std::bit_cast<float>(largest));
}

void ExactGradient::add(int tensor, std::int64_t offset, double value) {
  raise_bound(tensor, std::fabs(value));
  if (!(std::fabs(value) < kValueLimit)) return;  // out of range for int64
  std::int64_t& word = words_[offsets_[tensor] + offset];
  word = wrapping_sum(word, static_cast<std::int64_t>(std::nearbyint(value * kScale)));
}

void ExactGradient::raise_bound(int tensor, double magnitude) noexcept {
  if (!(magnitude < kValueLimit)) return invalidate(tensor);
  bound(tensor) =
      std::min(kSaturated, bound(tensor) + static_cast<std::int64_t>(std::ceil(magnitude * kBoundScale)));
}

void ExactGradient::invalidate(int tensor) noexcept { bound(tensor) = kSaturated; }

bool ExactGradient::valid(int tensor) const noexcept { return bound(tensor) < kBoundLimit; }

void ExactGradient::merge(const ExactGradient& other) {
  if (other.offsets_ != offsets_ || other.words_.size() != words_.size()) {
    throw InvalidArgument("merge: the gradients have different tensors");
  }
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] = wrapping_sum(words_[i], other.words_[i]);
  for (int t = 0; t < tensors(); ++t) bound(t) = std::min(kSaturated, bound(t));
}

void ExactGradient::all_reduce(Communicator& group) {
  group.all_reduce(words_, {});
  for (int t = 0; t < tensors(); ++t) bound(t) = std::min(kSaturated, bound(t));
}

void ExactGradient::agree_on_validity(Communicator& group) {
  std::vector<std::uint64_t> invalid(tensors_.size());
  for (int t = 0; t < tensors(); ++t) invalid[t] = valid(t) ? 0 : 1;
  group.all_reduce({}, invalid);
  for (int t = 0; t < tensors(); ++t) {
    if (invalid[t] != 0) invalidate(t);
  }
}

void ExactGradient::check() const {
  for (int t = 0; t < tensors(); ++t) {
    if (valid(t)) continue;
    throw InvalidData(
        fmt::format("gradient of {}: NaN, a value of magnitude {} or more, or a sum that may exceed {}",
                    tensors_[t].name, kValueLimit, kSumLimit));
  }
}

std::span<const std::int64_t> ExactGradient::words(int tensor) const {
  return std::span(words_).subspan(offsets_[tensor], tensors_[tensor].size);
}

void ExactGradient::read(int tensor, std::span<float> values) const {
  if (static_cast<std::int64_t>(values.size()) != tensors_[tensor].size) {
    throw InvalidArgument(fmt::format("read: {} has {} elements, not {}", tensors_[tensor].name,
                                      tensors_[tensor].size, values.size()));
  }
  to_float(words(tensor).data(), values.data(), values.size());
}

double ExactGradient::read(int tensor, std::int64_t offset) const {
  return static_cast<double>(words(tensor)[offset]) * 0x1p-50;
}

}  // namespace klmesh::loop
