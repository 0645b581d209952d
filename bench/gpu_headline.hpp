// The headline batch on GPUs: the exact KL of 3.28e9 pairs, through the engine, chunk by chunk.
#pragma once

#include <vector>

#include "headline_batch.hpp"
#include "klmesh/device_mesh.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/statistics.hpp"

namespace klmesh::bench {

struct GpuHeadline {
  std::vector<double> seconds;  ///< of the whole batch, the last rank's; one entry a repeat
  StepStatistics statistics;
};

/// Statistics of the whole batch, rows split over the ranks of `mesh`; chunks come round in device memory. Collective.
GpuHeadline run_gpu_headline(Mesh& mesh, DeviceMesh& devices, const HeadlineShape& shape, int repeats);

/// The same batch by the engine on CPUs: for shapes that a CPU can do while one waits. Collective.
StepStatistics host_headline(Mesh& mesh, const HeadlineShape& shape);

}  // namespace klmesh::bench
