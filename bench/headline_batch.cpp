#include "headline_batch.hpp"

#include <algorithm>
#include <cmath>

namespace klmesh::bench {

HeadlineBatch::HeadlineBatch(const HeadlineShape& shape, RowRange rows, int rank)
    : shape_(shape),
      rows_(rows),
      chunks_((rows.size() + shape.chunk_rows - 1) / shape.chunk_rows),
      targets_(static_cast<std::size_t>(rows.size())),
      sequence_(targets_.size()) {
  for (std::int64_t i = 0; i < rows.size(); ++i)
    sequence_[static_cast<std::size_t>(i)] = (rows.begin + i) / shape.sequence;
  const std::int64_t slots = std::min(shape.ring, chunks_);
  for (std::int64_t i = 0; i < slots; ++i) {
    const std::int64_t first_row = (rank * shape.ring + i) * shape.chunk_rows;
    ring_.emplace_back(shape.dtype, shape.noise, first_row, shape.chunk_rows, 0, shape.vocab_size);
    draw_targets(static_cast<std::size_t>(i));
  }
}

std::int64_t HeadlineBatch::rows_of(std::int64_t chunk) const {
  return std::min(shape_.chunk_rows, rows_.size() - chunk * shape_.chunk_rows);
}

RowInputs HeadlineBatch::inputs(std::int64_t chunk) const {
  const auto first = static_cast<std::size_t>(chunk * shape_.chunk_rows);
  const auto count = static_cast<std::size_t>(rows_of(chunk));
  return {.targets = std::span(targets_).subspan(first, count),
          .mask = {},
          .sequence = std::span(sequence_).subspan(first, count)};
}

double HeadlineBatch::policy_target(std::int64_t chunk, std::int64_t row) const {
  return slot(chunk).policy_at(row, targets_[static_cast<std::size_t>(chunk * shape_.chunk_rows + row)]);
}

double HeadlineBatch::reference_target(std::int64_t chunk, std::int64_t row) const {
  return slot(chunk).reference_at(row, targets_[static_cast<std::size_t>(chunk * shape_.chunk_rows + row)]);
}

// By inversion: a row's cumulative probabilities, once for all the tokens that come back to it.
void HeadlineBatch::draw_targets(std::size_t slot) {
  std::vector<double> cumulative(static_cast<std::size_t>(shape_.vocab_size));
  for (std::int64_t row = 0; row < shape_.chunk_rows; ++row) {
    double sum = 0.0;
    for (std::int64_t v = 0; v < shape_.vocab_size; ++v)
      cumulative[static_cast<std::size_t>(v)] = sum += std::exp(ring_[slot].policy_at(row, v));
    for (auto chunk = static_cast<std::int64_t>(slot); chunk < chunks_;
         chunk += static_cast<std::int64_t>(shape_.ring)) {
      if (row >= rows_of(chunk)) continue;
      const std::int64_t local = chunk * shape_.chunk_rows + row;
      const auto token = static_cast<std::uint64_t>(rows_.begin + local) + (std::uint64_t{1} << 62);
      const double uniform = static_cast<double>(mixed(token) >> 11) * 0x1p-53;
      const auto at = std::ranges::upper_bound(cumulative, uniform * sum);
      targets_[static_cast<std::size_t>(local)] =
          std::min<std::int64_t>(at - cumulative.begin(), shape_.vocab_size - 1);
    }
  }
}

}  // namespace klmesh::bench
