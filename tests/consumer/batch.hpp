// The host's own batch: logits that every element type holds exactly, so that one oracle serves all of them.
#pragma once

#include <klmesh/klmesh.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace consumer {

inline constexpr std::int64_t kVocabulary = 1001;  // no multiple of anything
inline constexpr std::int64_t kRows = 22;          // of the whole step, before it is split over the batch group
inline constexpr std::int64_t kSequences = 4;

enum class Side { policy, reference };

/// Multiples of 1/16 below 8 in magnitude: exact in f16 and bf16. `row` counts through the whole step.
double logit(Side side, std::int64_t row, std::int64_t column);

std::int64_t target(std::int64_t row);
std::uint8_t mask(std::int64_t row);
std::int64_t sequence(std::int64_t row);

/// The rows of batch part `part` of `parts`.
klmesh::RowRange rows_of(int part, int parts);

/// The inputs of a run of rows, and the memory behind them.
class Inputs {
 public:
  explicit Inputs(klmesh::RowRange rows);
  klmesh::RowInputs view() const { return {targets_, mask_, sequence_}; }

 private:
  std::vector<std::int64_t> targets_;
  std::vector<std::uint8_t> mask_;
  std::vector<std::int64_t> sequence_;
};

/// One shard of one side's logits in some element type; rows are padded, as trainers pad them.
class Logits {
 public:
  Logits(Side side, klmesh::DType dtype, klmesh::RowRange rows, const klmesh::VocabShard& shard);
  klmesh::LogitsView view() const;
  /// Overwrites one element, counted within the shard.
  void set(std::int64_t row, std::int64_t column, double value);

 private:
  klmesh::DType dtype_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::int64_t stride_;
  std::vector<std::byte> bytes_;  // (rows_, stride_)
};

}  // namespace consumer
