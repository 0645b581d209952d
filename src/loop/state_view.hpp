// The arrays that make up the state of a run, borrowed: what a checkpoint is written from, and restored to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/state_file.hpp"
#include "klmesh/vocab_shard.hpp"
#include "loop/adam.hpp"
#include "loop/policy.hpp"
#include "loop/reward_model.hpp"

namespace klmesh::loop {

/// One array, in the memory of a back end; files are the same whichever it is.
/// Sharded: (rows of this rank's vocabulary shard, columns); else (1, columns), the same on every rank.
struct StateTensor {
  std::string name;
  bool sharded = false;
  std::int64_t columns = 0;
  TensorOps* ops = nullptr;   ///< whose memory the values are in
  std::span<float> values;
};

/// The whole state. Borrows everything: it must not outlive the phase it was made of.
struct StateView {
  VocabShard shard;
  std::vector<StateTensor> tensors;
  std::vector<Adam*> optimizers;  ///< whose numbers of steps are kept

  /// Adds the parameters of a policy, and the moments of its optimiser unless that is null.
  void add(const std::string& prefix, Policy& policy, Adam* optimizer);
  void add(RewardModel& model);

 private:
  void add_policy_array(const std::string& prefix, const std::string& suffix, TensorOps& ops, const PolicyLayout& layout,
                        std::span<float> flat);
};

/// What rank 0 keeps beside the arrays.
struct StateExtras {
  std::vector<double> statistics;     ///< rows of the statistics file, see StatisticsLog::state(); on rank 0 alone
  std::vector<std::int64_t> reports;  ///< see run_reports.hpp
};

/// The state file of one writer: the rows of its shard, and all that is replicated if `extras` is not null.
/// Cost: the file twice in the host's memory; blocks for every array.
std::vector<std::byte> state_image(const StateView& view, const StateExtras* extras);

/// An open state file and the rows of sharded arrays that it holds.
struct StateSource {
  std::int64_t begin = 0, end = 0;  ///< vocabulary indices
  io::StateReader reader;
};

/// Reads the arrays by global index, whatever the mesh of the writers was.
/// @param sources the file that holds the replicated arrays, first, and at least those that share rows with the shard
/// @throws InvalidData naming file and array, if one is missing or has another shape
void restore_state(const std::vector<StateSource>& sources, const StateView& view);

StateExtras read_extras(const StateSource& source);

}  // namespace klmesh::loop
