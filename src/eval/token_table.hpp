// Per-token values of one rank's share of the rows, kept for order statistics and second passes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "klmesh/statistics.hpp"

namespace klmesh::eval {

/// Column-wise; counted tokens alone. About 200 bytes a token with all quantities.
struct TokenTable {
  std::vector<std::int64_t> rows;       ///< row of the file
  std::vector<std::int64_t> sequences;  ///< dense id, or -1
  std::vector<std::uint32_t> flags;     ///< RowFlag bits
  std::array<std::vector<double>, kQuantities> values;  ///< by Quantity; empty where it is not there
  std::vector<double> k_lambda;         ///< filled once lambda is known
  std::int64_t sequence_count = 0;      ///< dense ids 0..G-1 over all ranks; 0 without
  std::int64_t file_rows = 0;           ///< rows of the file
  std::int64_t masked = 0;
  std::int64_t invalid = 0;             ///< rows left out, or to be failed on
  std::optional<InvalidRow> first_invalid;  ///< its row is that of the file

  std::size_t size() const noexcept { return rows.size(); }
  const std::vector<double>& operator[](Quantity q) const { return values[static_cast<std::size_t>(q)]; }
  std::vector<double>& operator[](Quantity q) { return values[static_cast<std::size_t>(q)]; }
};

}  // namespace klmesh::eval
