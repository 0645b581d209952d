#include "eval/eval_inputs.hpp"

#include <algorithm>

#include "comm/agreement.hpp"
#include "eval/sequence_ids.hpp"

namespace klmesh::eval {

RowInputs EvalInputs::slice(std::int64_t begin, std::int64_t count) const {
  const auto part = [begin, count](const auto& values) {
    using Span = std::span<const typename std::decay_t<decltype(values)>::value_type>;
    return values.empty() ? Span{}
                          : Span(values).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
  };
  return {.targets = part(targets), .mask = part(mask), .sequence = part(sequence)};
}

EvalInputs read_inputs(Mesh& mesh, const io::LogitsFile& file) {
  const std::int64_t each = (file.rows() + mesh.shape().batch - 1) / mesh.shape().batch;
  EvalInputs inputs;
  inputs.first_row = std::min(file.rows(), each * mesh.batch_part());
  inputs.rows = std::min(file.rows(), each * (mesh.batch_part() + 1)) - inputs.first_row;
  const auto rows = static_cast<std::size_t>(inputs.rows);
  agree(mesh.world(), "reading targets, mask and sequence", static_cast<std::uint64_t>(file.rows()), failure_of([&] {
          inputs.mask.resize(rows);
          file.read_mask(inputs.first_row, inputs.mask);
          if (file.has_logits() && file.has_targets()) {
            inputs.targets.resize(rows);
            file.read_targets(inputs.first_row, inputs.targets);
          }
          if (file.has_sequence()) {
            inputs.sequence.resize(rows);
            file.read_sequence(inputs.first_row, inputs.sequence);
          }
        }));
  if (file.has_sequence()) inputs.sequence_count = make_dense(inputs.sequence, mesh.batch());
  return inputs;
}

}  // namespace klmesh::eval
