// Synthetic logits of every kind that a kernel may meet, in a pool that bounds the memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "klmesh/logits.hpp"

namespace klmesh::bench {

/// How the reference differs from the policy.
struct RowKind {
  std::string name;
  double noise = 0.0;       ///< reference = policy + offset + noise N(0, 1); policy = 3 N(0, 1)
  double offset = 0.0;
  double mask = 0.0;        ///< if not 0: every third column of both is this
  bool disjoint = false;    ///< odd columns of one and even columns of the other are 120 lower
  double top_moved = 0.0;   ///< the policy has one logit of 20, which the reference has moved by this

  bool near_equal() const { return noise <= 0.1 && offset == 0.0 && mask == 0.0 && !disjoint && top_moved == 0.0; }
};

/// The kinds that are measured; the first is the usual one.
std::vector<RowKind> row_kinds();

/// Pairs of rows of one kind and type. More rows than the pool holds read it again, through a list of rows.
class LogitPool {
 public:
  /// @param rows a batch may have more of them
  /// @param bytes what the pool may take at most; at least one row is made
  LogitPool(DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind, std::int64_t bytes);

  std::int64_t pool_rows() const { return pool_rows_; }
  /// Rows [first, first + rows) of the batch.
  LogitsView policy(std::int64_t first, std::int64_t rows) const { return view(policy_, first, rows); }
  LogitsView reference(std::int64_t first, std::int64_t rows) const { return view(reference_, first, rows); }

 private:
  LogitsView view(const std::vector<std::byte>& data, std::int64_t first, std::int64_t rows) const;

  DType dtype_;
  std::int64_t vocab_size_;
  std::int64_t pool_rows_;
  std::vector<std::byte> policy_, reference_;
  std::vector<std::int64_t> row_index_;
};

}  // namespace klmesh::bench
