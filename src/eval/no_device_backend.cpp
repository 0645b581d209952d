// Builds without CUDA.
#include "eval/device_backend.hpp"
#include "klmesh/error.hpp"

namespace klmesh::eval {

bool has_device_backend() noexcept { return false; }

std::vector<std::string> describe_devices() { return {}; }

EvalBackend device_backend(Mesh&, NodePlacement, std::chrono::duration<double>, OperationLog*) {
  throw BackendUnavailable("this build has no CUDA back end");
}

}  // namespace klmesh::eval
