// This rank's rows of a file: which they are, and what accompanies them.
#pragma once

#include <cstdint>
#include <vector>

#include "io/logits_file.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh::eval {

/// Rows are split contiguously, ceil(rows / B) a batch part; parts may be empty.
struct EvalInputs {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::vector<std::int64_t> targets;   ///< (rows), or empty
  std::vector<std::uint8_t> mask;      ///< (rows)
  std::vector<std::int64_t> sequence;  ///< (rows) dense ids, or empty
  std::int64_t sequence_count = 0;     ///< over all ranks

  /// What accompanies rows [begin, begin + count) of this part.
  RowInputs slice(std::int64_t begin, std::int64_t count) const;
};

/// Reads this rank's part. Collective over the world, for the sequence ids.
/// @throws on every rank what one of them met: InvalidData naming dataset and row, IoError
EvalInputs read_inputs(Mesh& mesh, const io::LogitsFile& file);

}  // namespace klmesh::eval
