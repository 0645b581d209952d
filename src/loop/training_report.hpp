// What a training run says of itself when it ends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "loop/baselines.hpp"
#include "loop/coverage.hpp"
#include "loop/distill_heldout.hpp"
#include "loop/distillation.hpp"
#include "loop/heldout.hpp"
#include "loop/memory_ledger.hpp"
#include "loop/penalty.hpp"
#include "loop/step_record.hpp"

namespace klmesh::loop {

struct CorpusReport {
  std::int64_t train_texts = 0, train_tokens = 0;
  std::int64_t validation_tokens = 0;
  std::int64_t heldout_texts = 0, heldout_tokens = 0;
  std::int64_t vocab_size = 0;
  double unknown_heldout = 0;  ///< fraction of held-out tokens that are <unk>
};

struct MleReport {
  Baselines baselines{};
  HeldoutReport heldout;
};

struct RewardReport {
  double accuracy = 0;  ///< on held-out pairs, whose texts were not trained on
  std::int64_t pairs = 0;
};

/// One arm of phase 3.
struct ArmReport {
  Penalty penalty = Penalty::none;
  StepRecord first, last;
  double kl_max = 0, kl_min = 0;  ///< extremes over steps of the smallest and largest token KL
  double final_reward = 0;        ///< mean over the last steps (at most 10)
  double final_kl = 0;            ///< the same, nats a token
  BiasCoverage coverage;
  std::vector<std::string> samples_before, samples_after;  ///< the same noise, before and after training

  bool ended_early() const noexcept { return last.ends_early(); }
};

/// "stopped early at step 17: exact KL 0.051 > rlhf.stop_kl 0.05 nats a token"; empty if the arm did not.
std::string early_end(const ArmReport& report);

/// One arm of phase 4: what a student learnt from the teacher.
struct DistillReport {
  Distillation kind = Distillation::forward;
  std::int64_t steps = 0;
  double first_loss = 0, last_loss = 0;  ///< of the first and the last step's batch, nats a token
  DistillHeldout before, after;

  /// @param step of phase 4
  void add(const StepRecord& step) {
    if (step.step == 1) first_loss = step.loss;
    last_loss = step.loss;
    steps = step.step;
  }
};

/// Where a run is: `step` steps of this phase, in phases 3 and 4 of this arm, are done.
struct RunPosition {
  Phase phase = Phase::mle;
  std::int64_t arm = 0;  ///< which of rlhf.arms or distill.arms, from 0
  std::string arm_name;  ///< the penalty's name in phase 3, the distillation's in phase 4, else empty
  std::int64_t step = 0;
};

/// "phase 3 (exact_reward) step 17"
std::string to_string(const RunPosition& position);

/// Where a run stopped because it was asked to.
struct StopPoint {
  RunPosition position;
  std::string generation;  ///< directory of the checkpoint it can go on from; empty if the run writes none
};

/// What a run needed of its back end's memory, on rank 0 but for one number. A CUDA context and NCCL's buffers are not
/// counted.
struct MemoryReport {
  std::string backend;                 ///< TensorOps::name()
  std::int64_t peak_bytes = 0;         ///< of the tensors of the loop
  std::vector<NamedBytes> at_peak;     ///< what they were, the largest first
  std::int64_t engine_bytes = 0;       ///< workspace of the engine, beside them
  std::int64_t sums_bytes = 0;         ///< sums of a step's statistics, beside both
  std::int64_t largest_peak_bytes = 0; ///< peak_bytes of the rank that needs most
};

/// Everything the summary of a run says. Parts that were not run are absent.
struct TrainingSummary {
  CorpusReport corpus;
  std::optional<MleReport> mle;
  std::optional<RewardReport> reward;
  std::vector<ArmReport> arms;
  std::vector<DistillReport> students{};
  std::optional<StopPoint> stopped;  ///< the run is not finished
  std::optional<MemoryReport> memory{};  ///< of this process: a resumed run's is its own
};

}  // namespace klmesh::loop
