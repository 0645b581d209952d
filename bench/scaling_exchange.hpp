// The exchange of partials alone, without logits: its bytes and its latency in either schedule.
#pragma once

#include <cstdint>

#include "interleaved.hpp"
#include "klmesh/engine.hpp"
#include "scaling_mesh.hpp"

namespace klmesh::bench {

struct ExchangeResult {
  MeshShape mesh;
  std::int64_t rows = 0;  ///< of a batch part
  bool by_rows = false;
  std::int64_t received_bytes = 0;  ///< by a rank
  Spread microseconds;  ///< of one exchange, normalisers back included; the slowest rank's, over the rounds
  Spread baseline_microseconds;  ///< of the baseline's all-reduces for as many rows
  int errors = 0;                ///< rows whose merged sum is not the known one, over all ranks
};

/// Collective over the mesh, which has more than one vocabulary part; the same result on every rank.
ExchangeResult run_exchange(ScalingMesh& mesh, std::int64_t rows, Schedule schedule, int rounds,
                            int iterations);

}  // namespace klmesh::bench
