// The loop's operations on GPUs, as builds with and without CUDA have them: cuda/device_ops.cpp or no_device_ops.cpp.
#pragma once

#include <chrono>
#include <memory>

#include "klmesh/mesh.hpp"
#include "klmesh/operation_log.hpp"
#include "klmesh/placement.hpp"
#include "loop/tensor_ops.hpp"

namespace klmesh::loop {

/// Takes a GPU for every rank and connects them. Collective over the world of the mesh, which must outlive it.
/// @param place    this rank among those of its node: see node_placement()
/// @param deadline seconds that any wait may last
/// @param log      told of every wait for a GPU; may be null
/// @throws BackendUnavailable on every rank, if the build has no CUDA, a rank sees no GPU, or two would share one
/// @throws CudaError, NcclError if a GPU cannot be set up
std::unique_ptr<TensorOps> make_device_ops(Mesh& mesh, NodePlacement place, std::chrono::duration<double> deadline,
                                           OperationLog* log);

}  // namespace klmesh::loop
