// Reads a logits file to its end, as eval does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/logits_file.hpp"

namespace klmesh::io {

inline void read_rows(const LogitsFile& file, std::int64_t first, std::size_t rows, std::int64_t columns) {
  std::vector<std::uint8_t> mask(rows);
  std::vector<std::int64_t> integers(rows);
  std::vector<double> values(rows * static_cast<std::size_t>(columns));  // room for any type
  file.read_mask(first, mask);
  if (file.has_targets()) file.read_targets(first, integers);
  if (file.has_sequence()) file.read_sequence(first, integers);
  for (const Side side : {Side::policy, Side::reference}) {
    if (file.has_logp()) file.read_logp(side, first, std::span(values).first(rows), mask);
    if (!file.has_logits()) continue;
    const std::int64_t width = std::min(columns, file.columns(side));
    file.read_logits(side, first, static_cast<std::int64_t>(rows), 0, width, values.data());
    file.read_logits(side, first, static_cast<std::int64_t>(rows), file.columns(side) - width, width,
                     values.data());
  }
}

/// Of a file that claims to be huge, the beginning and the end. @throws as LogitsFile
inline void read_all(const LogitsFile& file, std::int64_t most_rows = 64, std::int64_t most_columns = 64) {
  const std::int64_t rows = std::min(file.rows(), most_rows);
  read_rows(file, 0, static_cast<std::size_t>(rows), most_columns);
  read_rows(file, file.rows() - rows, static_cast<std::size_t>(rows), most_columns);
}

}  // namespace klmesh::io
