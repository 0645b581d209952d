// The batch of the headline: every token has a target of its own; its logits come round again after a ring of
// chunks.
#pragma once

#include <cstdint>
#include <vector>

#include "klmesh/engine.hpp"
#include "synthetic_logits.hpp"

namespace klmesh::bench {

struct HeadlineShape {
  std::int64_t vocab_size = 50000;
  std::int64_t batch = 32;       // sequences
  std::int64_t sequence = 2048;  // tokens of each
  std::int64_t chunk_rows = 256;
  std::int64_t ring = 8;  // distinct chunks of every rank
  DType dtype = DType::bf16;
  double noise = 0.1;

  std::int64_t rows() const { return batch * sequence; }
  double pairs() const { return static_cast<double>(rows()) * static_cast<double>(vocab_size); }
  double bytes() const { return 2.0 * pairs() * static_cast<double>(dtype_bytes(dtype)); }
};

/// One rank's rows of the batch, made before anything is timed. Targets are drawn from the policy,
/// independently.
class HeadlineBatch {
 public:
  /// @param rows of the whole batch, which are this rank's
  HeadlineBatch(const HeadlineShape& shape, RowRange rows, int rank);

  std::int64_t chunks() const { return chunks_; }
  std::int64_t rows_of(std::int64_t chunk) const;
  LogitsView policy(std::int64_t chunk) const { return cut(slot(chunk).policy(), rows_of(chunk)); }
  LogitsView reference(std::int64_t chunk) const { return cut(slot(chunk).reference(), rows_of(chunk)); }
  /// Targets and sequence ids of a chunk.
  RowInputs inputs(std::int64_t chunk) const;
  /// Logits of the target of a chunk's row.
  double policy_target(std::int64_t chunk, std::int64_t row) const;
  double reference_target(std::int64_t chunk, std::int64_t row) const;

 private:
  const SyntheticLogits& slot(std::int64_t chunk) const {
    return ring_[static_cast<std::size_t>(chunk) % ring_.size()];
  }
  static LogitsView cut(LogitsView view, std::int64_t rows) {
    view.rows = rows;
    return view;
  }
  void draw_targets(std::size_t slot);

  HeadlineShape shape_;
  RowRange rows_;
  std::int64_t chunks_;
  std::vector<SyntheticLogits> ring_;
  std::vector<std::int64_t> targets_, sequence_;  // (rows)
};

}  // namespace klmesh::bench
