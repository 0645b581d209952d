// The pass over a file's logits: chunks of rows through the evaluator into the token table.
#pragma once

#include "eval/chunk_evaluator.hpp"
#include "eval/eval_inputs.hpp"
#include "eval/report.hpp"
#include "eval/token_table.hpp"
#include "io/logits_file.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh::eval {

/// Fills the table with this rank's share. Collective over the world.
/// @param report says which quantities there are
/// @throws on every rank what one of them met while reading: InvalidData, IoError; as ChunkEvaluator::evaluate() does
TokenTable pass_over_logits(Mesh& mesh, ChunkEvaluator& evaluator, const io::LogitsFile& file, const EvalInputs& inputs,
                            const EvalOptions& options, const EvalReport& report);

}  // namespace klmesh::eval
