#include "cli/build_identity.hpp"

#include "comm/library_version.hpp"
#include "klmesh_source_id.hpp"  // made by the build

namespace klmesh::cli {

std::string source_id() { return KLMESH_SOURCE_ID; }

std::string build_identity() { return library_version() + ", source " + source_id(); }

}  // namespace klmesh::cli
