// Phase 3: policy gradient on a learnt reward, held near the reference by a named penalty.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "klmesh/engine.hpp"
#include "klmesh/mesh.hpp"
#include "loop/adam.hpp"
#include "loop/kl_controller.hpp"
#include "loop/partition.hpp"
#include "loop/penalty.hpp"
#include "loop/logits_dump.hpp"
#include "loop/policy.hpp"
#include "loop/reward_model.hpp"
#include "loop/sampler.hpp"
#include "loop/step_record.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// Where a step's sequences come from, this rank's part: sampled from the policy, or replayed.
using SequenceSource = std::function<SampleBatch(const Policy& policy, const SampleRequest& request)>;

/// One arm: a policy that starts as the reference and is trained with one kind of penalty. Collective over the world.
class RlhfPhase {
 public:
  /// @param reference frozen; the policy starts as a copy. All references must outlive the phase.
  RlhfPhase(Mesh& mesh, Engine& engine, const Policy& reference, const RewardModel& reward_model, Penalty penalty,
            const TrainConfig& config, SequenceSource source);

  /// One step: sample, measure the exact KL and all estimators on the same tokens, update. Statistics are those
  /// before the update, so the first step's KL is exactly 0. A step whose KL is above rlhf.stop_kl says so in its
  /// record and updates nothing: the policy stays what was measured, and is not to step again.
  StepRecord step();

  /// Calls `sink` in every further step. Null: nobody.
  void set_logits_sink(LogitsSink sink) { logits_sink_ = std::move(sink); }

  const Policy& policy() const noexcept { return policy_; }

  /// Weight of the penalty in the next step.
  double beta() const noexcept { return controller_.beta(); }

  /// For checkpoints. Before the first step alone: goes on after `steps` steps, from policy, optimiser and controller as
  /// they were then.
  Policy& policy() noexcept { return policy_; }
  Adam& optimizer() noexcept { return optimizer_; }
  KlController& controller() noexcept { return controller_; }
  void resume_at(std::int64_t steps) noexcept { step_ = steps; }

 private:
  void measure(StepRecord& record);
  std::vector<double> advantages_of_step(StepRecord& record);
  void update(const std::vector<double>& advantages);

  Mesh& mesh_;
  Engine& engine_;
  const Policy& reference_;
  const RewardModel& reward_model_;
  const Penalty penalty_;
  const TrainConfig& config_;
  KlController controller_;
  const SequenceSource source_;
  const RowRange sequences_;  // of this rank
  Policy policy_;
  Adam optimizer_;
  PolicyGradient gradient_;
  std::int64_t step_ = 0;
  LogitsSink logits_sink_;

  SampleBatch batch_;
  std::vector<std::int64_t> targets_, sequence_ids_;
  Activations activations_, reference_activations_;
  std::vector<float> logits_, reference_logits_;  // (rows, shard columns)
  std::vector<TokenStats> tokens_;
};

/// Sequences that make whole row tiles: batch parts own multiples of it.
std::int64_t sequence_unit(std::int64_t length) noexcept;

}  // namespace klmesh::loop
