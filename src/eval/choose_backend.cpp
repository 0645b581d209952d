#include "eval/choose_backend.hpp"

#include <string>

#include "eval/device_backend.hpp"
#include "klmesh/error.hpp"

namespace klmesh::eval {

EvalBackend choose_backend(Mesh& mesh, BackendChoice choice, NodePlacement place,
                           std::chrono::duration<double> deadline) {
  if (choice == BackendChoice::cpu) return host_backend();
  try {
    return device_backend(mesh, place, deadline);
  } catch (const BackendUnavailable& error) {  // thrown on every rank or on none, so all go the same way
    if (choice == BackendChoice::cuda) throw BackendUnavailable(std::string("--backend cuda: ") + error.what());
    return host_backend();
  }
}

}  // namespace klmesh::eval
