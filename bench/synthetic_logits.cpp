#include "synthetic_logits.hpp"

#include <string>
#include <string_view>

#include "core/cpu/decode.hpp"
#include "klmesh/error.hpp"

namespace klmesh::bench {
namespace {

// The sum of four uniform numbers, standardised: normal up to 3.46 standard deviations, and as cheap as one
// hash.
float almost_normal(std::uint64_t counter) noexcept {
  const std::uint64_t bits = mixed(counter);
  const auto sum = static_cast<std::int64_t>((bits & 0xffff) + ((bits >> 16) & 0xffff) +
                                             ((bits >> 32) & 0xffff) + (bits >> 48));
  constexpr float kDeviation = 37837.0f;  // 65536 sqrt(4 / 12)
  return static_cast<float>(sum - 2 * 65535) / kDeviation;
}

}  // namespace

std::uint64_t mixed(std::uint64_t counter) noexcept {
  std::uint64_t x = counter * 0x9e3779b97f4a7c15ull;  // SplitMix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

SyntheticLogits::SyntheticLogits(DType dtype, double noise, std::int64_t first_row, std::int64_t rows,
                                 std::int64_t first_column, std::int64_t columns)
    : dtype_(dtype), rows_(rows), columns_(columns) {
  const std::size_t row_bytes = static_cast<std::size_t>(columns) * dtype_bytes(dtype);
  policy_.resize(static_cast<std::size_t>(rows) * row_bytes);
  reference_.resize(policy_.size());
  std::vector<float> a(static_cast<std::size_t>(columns)), b(a.size());
  const auto scale = static_cast<float>(noise);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::uint64_t counter =
        (static_cast<std::uint64_t>(first_row + row) << 33) + static_cast<std::uint64_t>(first_column);
    for (std::size_t v = 0; v < a.size(); ++v) {
      a[v] = 3.0f * almost_normal(counter + v);
      b[v] = a[v] + scale * almost_normal(counter + v + (std::uint64_t{1} << 32));
    }
    const std::size_t offset = static_cast<std::size_t>(row) * row_bytes;
    cpu::encode(a.data(), columns, dtype, policy_.data() + offset);
    cpu::encode(b.data(), columns, dtype, reference_.data() + offset);
  }
}

double SyntheticLogits::at(const std::vector<std::byte>& data, std::int64_t row, std::int64_t column) const {
  const std::size_t element = static_cast<std::size_t>(row * columns_ + column);
  float value = 0.0f;
  cpu::decode(data.data() + element * dtype_bytes(dtype_), dtype_, 1, &value);
  return static_cast<double>(value);
}

DType dtype_of(const char* name) {
  const std::string_view text = name;
  if (text == "f32") return DType::f32;
  if (text == "bf16") return DType::bf16;
  throw InvalidArgument("dtype " + std::string(text) + " is neither f32 nor bf16");
}

}  // namespace klmesh::bench
