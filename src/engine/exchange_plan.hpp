// How the partials of a batch travel over the vocabulary group, the same for every back end.
#pragma once

#include <cstdint>

#include "klmesh/engine.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

struct ExchangePlan {
  std::int64_t rows = 0;
  int parts = 1;          ///< vocabulary parts
  bool by_rows = false;   ///< each part finishes `block` rows; else every part finishes all
  bool extended = false;  ///< the sums beyond the core travel too
  bool second = false;    ///< a second stage follows
  std::int64_t block = 0;  ///< rows that arrive from each part
  RowRange finished;       ///< rows that this rank finishes
};

/// Chooses the schedule of a batch.
ExchangePlan exchange_plan(std::int64_t rows, const VocabShard& shard, const EvaluateOptions& options);

/// The most rows that travel by gather where the schedule is automatic.
std::int64_t most_gathered_rows(const VocabShard& shard) noexcept;

/// Block `part` of `parts` equal blocks of ceil(rows / parts) rows; the last ones may be short or empty.
RowRange block_of_rows(std::int64_t rows, int part, int parts) noexcept;

}  // namespace klmesh
