// The pass over a file's logits: chunks of rows through the engine into the token table.
#pragma once

#include "eval/eval_inputs.hpp"
#include "eval/report.hpp"
#include "eval/token_table.hpp"
#include "io/logits_file.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh::eval {

/// Fills the table with this rank's share. Collective over the world.
/// @throws on every rank what one of them met while reading: InvalidData, IoError
TokenTable pass_over_logits(Mesh& mesh, Engine& engine, const io::LogitsFile& file, const EvalInputs& inputs,
                            const EvalOptions& options);

}  // namespace klmesh::eval
