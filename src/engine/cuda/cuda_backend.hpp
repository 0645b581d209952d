// The back end of a GPU, for engines with their own idea of what a chunk is worth.
#pragma once

#include <memory>

#include "engine/backend.hpp"
#include "engine/cuda/row_chunks.hpp"
#include "klmesh/device_mesh.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

/// The kernels of core, device memory, exchanges over device communicators. Partials of a chunk travel on a stream of the
/// back end's own while the caller's stream forms those of the next.
/// @param devices must outlive the back end; its device must be current in calls
/// @param limits  the same on all ranks of the vocabulary group
std::unique_ptr<Backend> make_cuda_backend(DeviceMesh& devices, const VocabShard& shard, const ChunkLimits& limits = {});

}  // namespace klmesh
