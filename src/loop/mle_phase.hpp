// Phase 1: maximum likelihood, which is minimum forward KL from the data.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "klmesh/engine.hpp"
#include "loop/adam.hpp"
#include "loop/buffer.hpp"
#include "loop/epoch_batches.hpp"
#include "loop/examples.hpp"
#include "loop/logits_dump.hpp"
#include "loop/partition.hpp"
#include "loop/policy.hpp"
#include "loop/step_record.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// Trains a policy on batches drawn without replacement, epoch by epoch. Collective over the world of the mesh.
///
/// A step copies the words of its batch to the back end (two copies), and back the statistics and the bounds of the
/// gradient, after the update. It allocates nothing after the first one.
class MlePhase {
 public:
  /// All references must outlive the phase. The engine is one of the policy's back end.
  MlePhase(Engine& engine, Policy& policy, const Examples& examples, const TrainConfig& config);

  /// One step: loss is the mean of -log pi(next word), nats a token, before the update.
  /// @throws InvalidData on every rank, if logits or the gradient are invalid; the policy is then not to be used
  StepRecord step();

  /// For checkpoints. Before the first step alone: goes on after `steps` steps, from parameters and optimiser as they
  /// were then.
  Adam& optimizer() noexcept { return optimizer_; }
  void resume_at(std::int64_t steps) noexcept { step_ = steps; }

  /// Calls `sink` in every further step. Null: nobody.
  void set_logits_sink(LogitsSink sink) { logits_sink_ = std::move(sink); }

 private:
  void select_batch(std::int64_t first);

  TensorOps& ops_;
  Engine& engine_;
  Policy& policy_;
  const Examples& examples_;
  const TrainConfig& config_;
  const std::int64_t batch_;  // rows of all batch parts
  const RowRange range_;      // this rank's
  Adam optimizer_;
  PolicyGradient gradient_;
  DeviceStepSums sums_;
  std::int64_t step_ = 0;
  LogitsSink logits_sink_;
  EpochBatches batches_;

  std::vector<std::int32_t> host_contexts_;
  std::vector<std::int64_t> host_targets_;
  Buffer<std::int32_t> contexts_;  // (rows of this rank, context)
  Buffer<std::int64_t> targets_;   // (rows of this rank)
  Buffer<double> ascend_logp_;     // (rows of this rank) weights in the gradient
  Activations activations_;
  Buffer<float> logits_;  // (rows of this rank, head columns); becomes the gradient in place
  Buffer<TokenStats> tokens_;
};

}  // namespace klmesh::loop
