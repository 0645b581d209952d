// One shape on one mesh: steps of klmesh and of the baseline in turn, and whether they agree.
#pragma once

#include <filesystem>
#include <string>

#include "interleaved.hpp"
#include "klmesh/engine.hpp"
#include "scaling_mesh.hpp"

namespace klmesh::bench {

struct ScalingCase {
  std::string
      mode;  ///< "strong": the batch is the same for every number of ranks; "weak": it grows with them
  std::int64_t rows = 0;  ///< of the whole batch
  std::int64_t vocab_size = 0;
  DType dtype = DType::bf16;
  double noise = 0.1;
  Schedule schedule = Schedule::gather;
};

struct ScalingResult {
  ScalingCase shape;
  MeshShape mesh;
  Parts klmesh, baseline;             ///< medians over the rounds
  Spread ratio;                       ///< baseline / klmesh of a round, totals without the record
  double received_bytes_per_row = 0;  ///< by a rank, over its vocabulary group, of its batch part's rows
  double kl_reverse_mean = 0;
  bool reproducible = false;  ///< the bits of the mean must be those of every other such mesh
  int errors = 0;             ///< quantities whose means differ from the baseline's
};

/// Collective over the mesh; the same result on every rank.
/// @param record file that rank 0 writes in every step
ScalingResult run_case(ScalingMesh& mesh, const ScalingCase& shape, int rounds,
                       const std::filesystem::path& record);

}  // namespace klmesh::bench
