// `klmesh info`: what this build can do, and where it runs.
#pragma once

#include <mpi.h>

#include <string>

#include "klmesh/mpi.hpp"

namespace klmesh::cli {

/// "klmesh 0.1.0".
std::string version_text();

/// Prints build, back ends, MPI, ranks per host and the default mesh on rank 0. Collective over `world`.
/// @return 0 @throws MpiError, IoError
int run_info(MPI_Comm world, const CommunicatorOptions& options);

}  // namespace klmesh::cli
