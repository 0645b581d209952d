// Log-probabilities of the sampled tokens alone: estimators without logits.
#pragma once

#include "eval/eval_inputs.hpp"
#include "eval/token_table.hpp"
#include "io/logits_file.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh::eval {

/// Fills the table with this rank's share of the rows. Collective over the world.
/// @param skip_invalid leave rows with a NaN or +inf out, and count them, instead of failing
/// @throws on every rank what one of them met while reading: InvalidData, IoError
TokenTable pass_over_logp(Mesh& mesh, const io::LogitsFile& file, const EvalInputs& inputs, bool skip_invalid);

}  // namespace klmesh::eval
