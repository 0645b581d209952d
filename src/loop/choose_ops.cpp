#include "loop/choose_ops.hpp"

#include "loop/device_ops.hpp"
#include "loop/host/host_ops.hpp"

namespace klmesh::loop {

std::unique_ptr<TensorOps> choose_ops(Mesh& mesh, BackendChoice choice, NodePlacement place,
                                      std::chrono::duration<double> deadline, OperationLog* log) {
  return choose_backend(
      choice, [&] { return make_device_ops(mesh, place, deadline, log); },
      [&]() -> std::unique_ptr<TensorOps> { return std::make_unique<HostOps>(mesh); });
}

}  // namespace klmesh::loop
