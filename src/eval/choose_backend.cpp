#include "eval/choose_backend.hpp"

#include "eval/device_backend.hpp"

namespace klmesh::eval {

EvalBackend choose_backend(Mesh& mesh, BackendChoice choice, NodePlacement place,
                           std::chrono::duration<double> deadline, OperationLog* log) {
  return klmesh::choose_backend(choice, [&] { return device_backend(mesh, place, deadline, log); }, host_backend);
}

}  // namespace klmesh::eval
