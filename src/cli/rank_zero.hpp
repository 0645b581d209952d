// What one rank does for all: rank 0 acts, and all ranks get its result or all ranks throw its error.
#pragma once

#include <functional>
#include <string>

#include "klmesh/communicator.hpp"

namespace klmesh::cli {

/// Runs `make` on rank 0 and returns its text on every rank. For what may differ between nodes or must happen
/// once: reading the configuration, making the run directory. Collective over `world`. Cost: two broadcasts.
/// @throws on every rank what `make` threw on rank 0, as the class that its exit code stands for
std::string on_rank_zero(Communicator& world, const std::function<std::string()>& make);

}  // namespace klmesh::cli
