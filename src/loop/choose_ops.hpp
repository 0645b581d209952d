// The back end of a training run.
#pragma once

#include <chrono>
#include <memory>

#include "engine/backend_choice.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/operation_log.hpp"
#include "klmesh/placement.hpp"
#include "loop/tensor_ops.hpp"

namespace klmesh::loop {

/// The same on every rank. Collective over the world of the mesh, which must outlive what is returned.
/// @param place, deadline, log as make_device_ops() takes them
/// @throws BackendUnavailable on every rank, naming the option, if `cuda` cannot be had; as make_device_ops() does
std::unique_ptr<TensorOps> choose_ops(Mesh& mesh, BackendChoice choice, NodePlacement place,
                                      std::chrono::duration<double> deadline, OperationLog* log);

}  // namespace klmesh::loop
