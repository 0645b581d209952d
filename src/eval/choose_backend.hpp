// The back end of an evaluation: what was asked for, or the best that is there.
#pragma once

#include <chrono>

#include "engine/backend_choice.hpp"
#include "eval/chunk_evaluator.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/operation_log.hpp"
#include "klmesh/placement.hpp"

namespace klmesh::eval {

using klmesh::BackendChoice;

/// The same on every rank. Collective over the world of the mesh, which must outlive what is returned.
/// @param place, deadline, log as device_backend() takes them
/// @throws BackendUnavailable on every rank, naming the option, if `cuda` cannot be had; as device_backend() does
EvalBackend choose_backend(Mesh& mesh, BackendChoice choice, NodePlacement place,
                           std::chrono::duration<double> deadline, OperationLog* log);

}  // namespace klmesh::eval
