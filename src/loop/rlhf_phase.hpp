// Phase 3: policy gradient on a learnt reward, held near the reference by a named penalty.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "klmesh/engine.hpp"
#include "loop/adam.hpp"
#include "loop/buffer.hpp"
#include "loop/kl_controller.hpp"
#include "loop/logits_dump.hpp"
#include "loop/partition.hpp"
#include "loop/penalty.hpp"
#include "loop/policy.hpp"
#include "loop/reward_model.hpp"
#include "loop/sampler.hpp"
#include "loop/step_record.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// Where a step's sequences come from, this rank's part: sampled from the policy, or replayed.
using SequenceSource = std::function<void(const Policy& policy, const SampleRequest& request, SampleBatch& batch)>;

/// One arm: a policy that starts as the reference and is trained with one kind of penalty. Collective over the world.
///
/// A step copies nothing to the back end, and from it, after the update: whether all tokens could be drawn, the statistics,
/// the rewards, the bounds of the gradient. Where rlhf.stop_kl may forbid the update, all but the last come before it. It
/// allocates nothing after the first one.
class RlhfPhase {
 public:
  /// @param reference frozen; the policy starts as a copy. All references must outlive the phase. The engine is one of the
  /// reference's back end.
  RlhfPhase(Engine& engine, const Policy& reference, const RewardModel& reward_model, Penalty penalty,
            const TrainConfig& config, SequenceSource source);

  /// One step: sample, measure the exact KL and all estimators on the same tokens, update. Statistics are those
  /// before the update, so the first step's KL is exactly 0. A step whose KL is above rlhf.stop_kl says so in its
  /// record and updates nothing: the policy stays what was measured, and is not to step again.
  /// @throws InvalidData on every rank, if logits, tokens or the gradient are invalid; the policy is then not to be used
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
  void prepare();
  void measure();
  void weigh_tokens();
  void update();
  void read_into(StepRecord& record);

  LogitsView policy_logits() const { return logits_view(logits_.span().data(), rows_, policy_.head_columns()); }
  LogitsView reference_logits() const {
    return logits_view(reference_logits_.span().data(), rows_, policy_.head_columns());
  }
  RowInputs inputs() const {
    return {.targets = targets_.span(), .mask = batch_.mask.span(), .sequence = sequence_ids_.span()};
  }
  SequenceTerms terms();

  TensorOps& ops_;
  Engine& engine_;
  const Policy& reference_;
  const RewardModel& reward_model_;
  const Penalty penalty_;
  const TrainConfig& config_;
  KlController controller_;
  const SequenceSource source_;
  const SequenceShare share_;
  const std::int64_t rows_;  // of this rank
  Policy policy_;
  Adam optimizer_;
  PolicyGradient gradient_;
  DeviceStepSums sums_;
  std::int64_t step_ = 0;
  bool prepared_ = false;
  LogitsSink logits_sink_;

  SampleBatch batch_;
  Buffer<std::int64_t> targets_, sequence_ids_;  // (rows)
  Activations activations_, reference_activations_;
  Buffer<float> logits_, reference_logits_;  // (rows, head columns)
  Buffer<TokenStats> tokens_;                // (rows)
  Buffer<float> scores_;                     // (vocabulary) of the reward model
  Buffer<std::int64_t> terms_;               // rewards, penalties, mask of all sequences: see SequenceTerms
  Buffer<double> returns_;                   // (sequences, length) of all
  Buffer<double> logp_weights_, kl_weights_; // (rows)
};

/// Sequences that make whole row tiles: batch parts own multiples of it.
std::int64_t sequence_unit(std::int64_t length) noexcept;

}  // namespace klmesh::loop
