// Phase 1: maximum likelihood, which is minimum forward KL from the data.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "klmesh/engine.hpp"
#include "klmesh/mesh.hpp"
#include "loop/adam.hpp"
#include "loop/epoch_batches.hpp"
#include "loop/examples.hpp"
#include "loop/logits_dump.hpp"
#include "loop/policy.hpp"
#include "loop/step_record.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// Trains a policy on batches drawn without replacement, epoch by epoch. Collective over the world of the mesh.
class MlePhase {
 public:
  /// All references must outlive the phase.
  MlePhase(Mesh& mesh, Engine& engine, Policy& policy, const Examples& examples, const TrainConfig& config);

  /// One step: loss is the mean of -log pi(next word), nats a token, before the update.
  StepRecord step();

  /// For checkpoints. Before the first step alone: goes on after `steps` steps, from parameters and optimiser as they
  /// were then.
  Adam& optimizer() noexcept { return optimizer_; }
  void resume_at(std::int64_t steps) noexcept { step_ = steps; }

  /// Calls `sink` in every further step. Null: nobody.
  void set_logits_sink(LogitsSink sink) { logits_sink_ = std::move(sink); }

 private:
  void select_batch(std::int64_t first, std::int64_t count);

  Mesh& mesh_;
  Engine& engine_;
  Policy& policy_;
  const Examples& examples_;
  const TrainConfig& config_;
  Adam optimizer_;
  PolicyGradient gradient_;
  std::int64_t step_ = 0;
  LogitsSink logits_sink_;
  EpochBatches batches_;

  std::vector<std::int32_t> contexts_;  // (rows of this rank, context)
  std::vector<std::int64_t> targets_;   // (rows of this rank)
  Activations activations_;
  std::vector<float> logits_;  // (rows of this rank, head columns); becomes the gradient in place
  std::vector<TokenStats> tokens_;
};

}  // namespace klmesh::loop
