#include "cli/build_identity.hpp"

#include "comm/library_version.hpp"
#include "eval/device_backend.hpp"
#include "klmesh_source_id.hpp"  // made by the build

namespace klmesh::cli {

std::string source_id() { return KLMESH_SOURCE_ID; }

std::string build_identity() {
  return library_version() + ", source " + source_id() + (eval::has_device_backend() ? ", with CUDA" : ", without CUDA");
}

}  // namespace klmesh::cli
