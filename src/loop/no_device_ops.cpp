// Builds without CUDA.
#include "klmesh/error.hpp"
#include "loop/device_ops.hpp"

namespace klmesh::loop {

std::unique_ptr<TensorOps> make_device_ops(Mesh&, NodePlacement, std::chrono::duration<double>, OperationLog*) {
  throw BackendUnavailable("this build has no CUDA back end");
}

}  // namespace klmesh::loop
