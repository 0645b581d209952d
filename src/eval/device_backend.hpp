// The back end of GPUs, as builds with and without CUDA have it: cuda/device_backend.cpp or no_device_backend.cpp.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "eval/chunk_evaluator.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/operation_log.hpp"
#include "klmesh/placement.hpp"

namespace klmesh::eval {

/// Whether this build has the back end.
bool has_device_backend() noexcept;

/// The GPUs that this process may use, one line each; empty if none answers, or in a build without CUDA.
std::vector<std::string> describe_devices();

/// Takes a GPU for every rank and connects them. Collective over the world of the mesh, which must outlive it.
/// @param place    this rank among those of its node: see node_placement()
/// @param deadline seconds that any wait may last
/// @param log      told what is waited for; may be null, else must outlive what is returned
/// @throws BackendUnavailable on every rank, if the build has no CUDA, a rank sees no GPU, or two would share one
/// @throws CudaError, NcclError if a GPU cannot be set up
EvalBackend device_backend(Mesh& mesh, NodePlacement place, std::chrono::duration<double> deadline,
                           OperationLog* log);

}  // namespace klmesh::eval
