// A GPU for every rank.
#include "loop/device_ops.hpp"

#include <utility>

#include "comm/agreement.hpp"
#include "klmesh/device.hpp"
#include "klmesh/nccl.hpp"
#include "loop/cuda/cuda_ops.hpp"

namespace klmesh::loop {

std::unique_ptr<TensorOps> make_device_ops(Mesh& mesh, NodePlacement place, std::chrono::duration<double> deadline,
                                           OperationLog* log) {
  const int device = bind_device(mesh.world(), place);
  DeviceMesh devices = make_nccl_mesh(mesh, device, {.deadline = deadline, .log = log});
  std::unique_ptr<TensorOps> ops;
  agree(mesh.world(), "setting up the GPU", 0,
        failure_of([&] { ops = std::make_unique<cuda::CudaOps>(mesh, std::move(devices)); }));
  return ops;
}

}  // namespace klmesh::loop
