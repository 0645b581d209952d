// The logits of one step as a file for `klmesh eval`, which must find the numbers that the run recorded.
#pragma once

#include <filesystem>
#include <functional>

#include "klmesh/logits.hpp"
#include "klmesh/vocab_shard.hpp"
#include "loop/step_record.hpp"
#include "loop/tensor_ops.hpp"

namespace klmesh::loop {

/// One step's logits, this rank's part, in the memory of a back end.
struct StepLogits {
  std::int64_t total_rows = 0;  ///< of all batch parts
  std::int64_t first_row = 0;   ///< global index of this part's first row
  LogitsView policy, reference;  ///< (rows, >= shard columns), f32
  RowInputs inputs;             ///< targets, and in phase 3 mask and sequence ids, of these rows
  bool sequences = false;       ///< phase 3: rows are sampled sequences
};

/// Hears of every step's logits before the gradient overwrites them; all ranks of the mesh call it.
using LogitsSink = std::function<void(std::int64_t step, const StepLogits& logits)>;

/// Which step to dump.
struct LogitsDumpRequest {
  Phase phase = Phase::rlhf;  ///< mle (the policy is written as its own reference), rlhf or distill
  std::int64_t step = 1;
};

/// Gathers the step's logits and writes `path`. Rank 0 writes. Collective over the world. Blocks.
/// Cost: twice total_rows x vocabulary x 4 bytes in memory on every rank: for small steps.
/// @throws IoError on every rank, naming the path
void dump_logits(TensorOps& ops, const VocabShard& shard, const StepLogits& logits, const std::filesystem::path& path);

}  // namespace klmesh::loop
