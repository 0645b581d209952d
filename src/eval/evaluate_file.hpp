// From a logits file to a report: every rank reads its own rows and columns, in chunks.
#pragma once

#include "eval/chunk_evaluator.hpp"
#include "eval/report.hpp"
#include "eval/token_table.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh::eval {

struct Evaluation {
  EvalReport report;  ///< the same on every rank
  TokenTable tokens;  ///< this rank's share of the rows
};

/// Collective over the world of the mesh.
/// @param backend where logits are evaluated; log-probabilities of sampled tokens alone are the host's affair
/// Cost: each rank reads its rows x columns once (twice with all quantities); memory for about 200 bytes a row of its
/// share, and chunks of at most 64 MiB a side.
/// @throws InputNotFound, InvalidData, IoError on every rank, with a message that names file, dataset, row and column
Evaluation evaluate_file(Mesh& mesh, const EvalOptions& options, const EvalBackend& backend);

/// Gathers every row's values and writes OUT.h5: /tokens/<quantity> float64 (rows of the file), NaN where masked,
/// skipped or not defined, with the attribute `unit`. Rank 0 writes. Collective over the world.
/// @param bits write nats / ln 2 where the quantity has that unit
/// @throws IoError on every rank, naming the path
void write_per_token(Mesh& mesh, const Evaluation& evaluation, bool bits, const std::string& path);

}  // namespace klmesh::eval
