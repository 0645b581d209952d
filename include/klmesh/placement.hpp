// Where on its machine a rank runs: which of the node's ranks it is, and so which GPU is its own.
#pragma once

#include <optional>

namespace klmesh {

/// A rank among those of its node.
struct NodePlacement {
  int rank = 0;   ///< 0 .. ranks - 1
  int ranks = 1;  ///< ranks on this node; 0 if unknown
};

/// What the launcher says in the environment, before MPI is initialised: Open MPI, MVAPICH, MPICH and Intel MPI (PMI),
/// PALS, Slurm, in this order. Nothing if none says a rank, or says nonsense.
std::optional<NodePlacement> launcher_placement();

}  // namespace klmesh
