// What a host does with klmesh, a function each. All are collective over the mesh.
#pragma once

#include <klmesh/klmesh.hpp>

#include <string>

#include "checks.hpp"

namespace consumer {

/// Exact statistics of logits in every element type, in both schedules, and of a step in two micro-batches.
void exact(klmesh::Mesh& mesh, const std::string& mesh_name, Checks& checks);

/// Gradients against their closed form: written, and added to what is there.
void gradients(klmesh::Mesh& mesh, Checks& checks);

/// Wrong shapes and NaN on one rank: every rank concerned catches the same error, and the mesh works on.
void errors(klmesh::Mesh& mesh, MPI_Comm world, Checks& checks);

}  // namespace consumer
