// What the opaque handles hold.
#pragma once

#include <memory>
#include <vector>

#include "klmesh/engine.hpp"
#include "klmesh/klmesh.h"
#include "klmesh/mesh.hpp"
#include "klmesh/statistics.hpp"

struct klmesh_mesh {
  std::shared_ptr<klmesh::Mesh> mesh;
};

struct klmesh_engine {
  std::shared_ptr<klmesh::Mesh> mesh;  // before the engine, which borrows it
  klmesh::Engine engine;
  std::vector<klmesh::TokenStats> tokens;  // (rows) of a call, as the engine has them; kept to save allocations
};

struct klmesh_sums {
  klmesh::StepSums sums;
};
