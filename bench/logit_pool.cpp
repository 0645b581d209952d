#include "logit_pool.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "core/cpu/decode.hpp"

namespace klmesh::bench {
namespace {

// Drawn once and read at shifting places: drawing every logit would take far longer than the kernel.
std::vector<float> normal_numbers() {
  std::mt19937_64 random(20240613);
  std::normal_distribution<float> normal;
  std::vector<float> z((std::size_t{1} << 20) + 1);
  for (float& x : z) x = normal(random);
  return z;
}

void fill_row(const std::vector<float>& z, std::int64_t row, const RowKind& kind, std::vector<float>& a,
              std::vector<float>& b) {
  const std::size_t size = z.size(), columns = a.size();
  std::size_t i = (static_cast<std::size_t>(row) * 7919) % size, j = (static_cast<std::size_t>(row) * 104729 + 31) % size;
  const auto noise = static_cast<float>(kind.noise), offset = static_cast<float>(kind.offset);
  for (std::size_t v = 0; v < columns; ++v) {
    a[v] = 3.0f * z[i];
    b[v] = a[v] + offset + noise * z[j];
    if (kind.disjoint) (v % 2 == 0 ? a : b)[v] -= 120.0f;
    if (kind.mask != 0.0 && v % 3 == 0) a[v] = b[v] = static_cast<float>(kind.mask);
    i = i + 1 == size ? 0 : i + 1;
    j = j + 3 >= size ? j + 3 - size : j + 3;
  }
  if (kind.top_moved != 0.0) {
    a[columns / 3] = 20.0f;
    b[columns / 3] = 20.0f + static_cast<float>(kind.top_moved);
  }
}

}  // namespace

std::vector<RowKind> row_kinds() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kLowest = std::numeric_limits<float>::lowest();
  return {{.name = "noise 1e-3", .noise = 1e-3},
          {.name = "noise 0.1", .noise = 0.1},
          {.name = "noise 1", .noise = 1.0},
          {.name = "noise 5", .noise = 5.0},
          {.name = "disjoint", .noise = 0.5, .disjoint = true},
          {.name = "offset 5", .noise = 1e-3, .offset = 5.0},
          {.name = "mask -inf", .noise = 1e-2, .mask = -kInfinity},
          {.name = "mask -1e9", .noise = 1e-2, .mask = -1e9},
          {.name = "mask lowest", .noise = 1e-2, .mask = kLowest},
          {.name = "top moved", .noise = 1e-2, .top_moved = -20.0}};
}

LogitPool::LogitPool(DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind, std::int64_t bytes)
    : dtype_(dtype), vocab_size_(vocab_size) {
  const auto row_bytes = static_cast<std::int64_t>(dtype_bytes(dtype)) * vocab_size;
  pool_rows_ = std::clamp<std::int64_t>(bytes / (2 * row_bytes), 1, rows);
  policy_.resize(static_cast<std::size_t>(pool_rows_ * row_bytes));
  reference_.resize(policy_.size());
  row_index_.resize(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) row_index_[static_cast<std::size_t>(i)] = i % pool_rows_;

  const std::vector<float> z = normal_numbers();
  std::vector<float> a(static_cast<std::size_t>(vocab_size)), b(a.size());
  for (std::int64_t row = 0; row < pool_rows_; ++row) {
    fill_row(z, row, kind, a, b);
    cpu::encode(a.data(), vocab_size, dtype, policy_.data() + row * row_bytes);
    cpu::encode(b.data(), vocab_size, dtype, reference_.data() + row * row_bytes);
  }
}

LogitsView LogitPool::view(const std::vector<std::byte>& data, std::int64_t first, std::int64_t rows) const {
  return {data.data(), dtype_, rows, vocab_size_, vocab_size_,
          std::span(row_index_).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows))};
}

}  // namespace klmesh::bench
