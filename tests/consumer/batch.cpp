#include "batch.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace consumer {
namespace {

constexpr std::int64_t kPadding = 3;

// Any mixing will do; that of SplitMix64.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// An integer in [-limit, limit].
std::int64_t draw(std::int64_t stream, std::int64_t row, std::int64_t column, std::int64_t limit) {
  const auto key = static_cast<std::uint64_t>((stream * kRows + row) * kVocabulary + column);
  return static_cast<std::int64_t>(mix(key) % static_cast<std::uint64_t>(2 * limit + 1)) - limit;
}

std::uint16_t bf16_bits(double value) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16);
}

// For normal numbers that f16 holds exactly, zero and NaN.
std::uint16_t f16_bits(double value) {
  if (std::isnan(value)) return 0x7e00;
  if (value == 0.0) return 0;
  int exponent = 0;
  const double fraction = std::frexp(std::fabs(value), &exponent);  // in [0.5, 1)
  const int mantissa = static_cast<int>((2 * fraction - 1) * 1024);
  return static_cast<std::uint16_t>((value < 0 ? 0x8000 : 0) | ((exponent + 14) << 10) | mantissa);
}

template <typename T>
void store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace

double logit(Side side, std::int64_t row, std::int64_t column) {
  const std::int64_t policy = draw(0, row, column, 96);
  const std::int64_t apart = side == Side::policy ? 0 : draw(1, row, column, 12);
  return static_cast<double>(policy + apart) / 16.0;
}

std::int64_t target(std::int64_t row) { return (row * 389 + 17) % kVocabulary; }
std::uint8_t mask(std::int64_t row) { return row % 7 == 3 ? 0 : 1; }
std::int64_t sequence(std::int64_t row) { return row * kSequences / kRows; }

klmesh::RowRange rows_of(int part, int parts) { return {kRows * part / parts, kRows * (part + 1) / parts}; }

Inputs::Inputs(klmesh::RowRange rows) {
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    targets_.push_back(target(row));
    mask_.push_back(mask(row));
    sequence_.push_back(sequence(row));
  }
}

Logits::Logits(Side side, klmesh::DType dtype, klmesh::RowRange rows, const klmesh::VocabShard& shard)
    : dtype_(dtype), rows_(rows.size()), columns_(shard.columns()), stride_(columns_ + kPadding),
      bytes_(static_cast<std::size_t>(rows_ * stride_) * klmesh::dtype_bytes(dtype)) {
  for (std::int64_t row = 0; row < rows_; ++row) {
    for (std::int64_t c = 0; c < columns_; ++c) set(row, c, logit(side, rows.begin + row, shard.begin + c));
    for (std::int64_t c = columns_; c < stride_; ++c) set(row, c, std::numeric_limits<double>::quiet_NaN());
  }
}

klmesh::LogitsView Logits::view() const { return {bytes_.data(), dtype_, rows_, columns_, stride_}; }

void Logits::set(std::int64_t row, std::int64_t column, double value) {
  std::byte* at = &bytes_[static_cast<std::size_t>(row * stride_ + column) * klmesh::dtype_bytes(dtype_)];
  switch (dtype_) {
    case klmesh::DType::f32: return store(at, static_cast<float>(value));
    case klmesh::DType::f64: return store(at, value);
    case klmesh::DType::f16: return store(at, f16_bits(value));
    case klmesh::DType::bf16: return store(at, bf16_bits(value));
  }
}

}  // namespace consumer
