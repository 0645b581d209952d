#include "engine/add_rows.hpp"

#include "core/row_status.hpp"

namespace klmesh {

void add_rows(std::span<const TokenStats> tokens, const RowInputs& inputs, RowRange rows, StepSums& sums) {
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const bool has_sequence = !inputs.sequence.empty();
    const std::int64_t sequence = has_sequence ? inputs.sequence[i] : -1;
    const std::int64_t target = inputs.targets.empty() ? -1 : inputs.targets[i];
    const RowStatus status = row_status(tokens[i], inputs.counts(row), has_sequence, sequence, sums.sequences());
    if (status == RowStatus::counted) {
      sums.add(tokens[i], sequence);
    } else if (status == RowStatus::masked) {
      sums.add_masked();
    } else {
      sums.add_invalid(invalid_row(tokens[i], status, row, target, sequence));
    }
  }
}

}  // namespace klmesh
