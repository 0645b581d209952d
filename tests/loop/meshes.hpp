// The meshes that the ranks of a test can form.
#pragma once

#include <mpi.h>

#include <vector>

#include "klmesh/mpi.hpp"

namespace klmesh::loop {

inline int world_size() {
  int ranks = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  return ranks;
}

inline int world_rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

/// Every BxV of the world's ranks whose vocabulary parts are whole subtrees.
inline std::vector<MeshShape> mesh_shapes() {
  std::vector<MeshShape> shapes;
  for (int vocab = 1; vocab <= world_size(); vocab *= 2) {
    if (world_size() % vocab == 0) shapes.push_back({world_size() / vocab, vocab});
  }
  return shapes;
}

inline Mesh make_mesh(MeshShape shape) { return borrow_mesh(MPI_COMM_WORLD, shape); }

}  // namespace klmesh::loop
