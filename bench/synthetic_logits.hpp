// Pairs of logits that depend on the row and the column of the whole batch alone, so that every mesh has the
// same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "klmesh/logits.hpp"

namespace klmesh::bench {

/// A dense shard of a batch: policy 3 z, reference policy + noise z', z and z' independent and all but
/// normal.
class SyntheticLogits {
 public:
  /// @param first_row of the whole batch
  /// @param first_column, columns of the shard
  SyntheticLogits(DType dtype, double noise, std::int64_t first_row, std::int64_t rows,
                  std::int64_t first_column, std::int64_t columns);

  LogitsView policy() const { return {policy_.data(), dtype_, rows_, columns_, columns_}; }
  LogitsView reference() const { return {reference_.data(), dtype_, rows_, columns_, columns_}; }

  /// One logit as it is stored. @param row, column of the shard
  double policy_at(std::int64_t row, std::int64_t column) const { return at(policy_, row, column); }
  double reference_at(std::int64_t row, std::int64_t column) const { return at(reference_, row, column); }

 private:
  double at(const std::vector<std::byte>& data, std::int64_t row, std::int64_t column) const;

  DType dtype_;
  std::int64_t rows_, columns_;
  std::vector<std::byte> policy_, reference_;  // (rows, columns)
};

/// 64 bits that look random, a function of `counter`.
std::uint64_t mixed(std::uint64_t counter) noexcept;

/// "f32" or "bf16". @throws InvalidArgument for another name
DType dtype_of(const char* name);

}  // namespace klmesh::bench
