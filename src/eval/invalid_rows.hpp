// The error that an invalid row of a file ends in, the same on every rank.
#pragma once

#include <string>

#include "eval/token_table.hpp"
#include "io/logits_file.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::eval {

/// Throws InvalidData on every rank, naming file, dataset, row, column and rank of the lowest row that any rank found
/// wrong; returns if there is none. Collective over the world.
void throw_if_invalid(Mesh& mesh, const io::LogitsFile& file, const TokenTable& table);

}  // namespace klmesh::eval
