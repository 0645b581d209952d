// Which rows a batch part owns: contiguous runs of whole units, so that a unit's content does not depend on the mesh.
#pragma once

#include <algorithm>
#include <cstdint>

#include "klmesh/engine.hpp"

namespace klmesh::loop {

/// Rows of the tiles in which the host sums rows. Tile t holds rows 128 t .. 128 t + 127 of the global batch,
/// and rows that are missing are 0. Batch parts own whole tiles, which makes a step's bits independent of the
/// mesh; on a device they own the same rows.
inline constexpr std::int64_t kRowTile = 128;

/// Part `part` of `parts` of `rows` rows, in units of `unit` rows; parts may be empty, and the last unit short.
constexpr RowRange part_of_rows(std::int64_t rows, std::int64_t unit, int part, int parts) noexcept {
  const std::int64_t units = (rows + unit - 1) / unit;
  return {std::min(rows, unit * (units * part / parts)), std::min(rows, unit * (units * (part + 1) / parts))};
}

}  // namespace klmesh::loop
