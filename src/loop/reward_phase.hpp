// Phase 2: the reward model learns which of two texts is preferred.
#pragma once

#include <cstdint>
#include <vector>

#include "klmesh/mesh.hpp"
#include "loop/preferences.hpp"
#include "loop/reward_model.hpp"
#include "loop/step_record.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// Fits the reward model on pairs drawn anew each step, split over all ranks. Collective over the world.
class RewardPhase {
 public:
  /// All references must outlive the phase.
  RewardPhase(Mesh& mesh, RewardModel& model, const Preferences& preferences, const TrainConfig& config);

  /// One step: loss is the mean of -log P(preferred), nats a pair, before the update.
  StepRecord step();

  /// For checkpoints. Before the first step alone: goes on after `steps` steps, from the model as it was then.
  void resume_at(std::int64_t steps) noexcept { step_ = steps; }

 private:
  Mesh& mesh_;
  RewardModel& model_;
  const Preferences& preferences_;
  const TrainConfig& config_;
  std::int64_t step_ = 0;
};

}  // namespace klmesh::loop
