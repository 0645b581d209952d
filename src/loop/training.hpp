// The main job: corpus, maximum likelihood, reward model, RLHF, distillation, from the configuration to the summary.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "loop/logits_dump.hpp"
#include "loop/run_record.hpp"
#include "loop/step_record.hpp"
#include "loop/tensor_ops.hpp"
#include "loop/train_config.hpp"
#include "loop/training_report.hpp"

namespace klmesh::loop {

/// Hears what happens, on the rank that has one. Default: says nothing.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void corpus_loaded(const CorpusReport&) {}
  /// @param arm the penalty's name in phase 3, the distillation's in phase 4, else empty
  virtual void phase_began(Phase, std::string_view /*arm*/, std::int64_t /*steps*/) {}
  virtual void step_done(const StepRecord&) {}
  virtual void phase_ended(Phase) {}
  virtual void mle_done(const MleReport&) {}
  virtual void reward_done(const RewardReport&) {}
  virtual void arm_done(const ArmReport&) {}
  virtual void student_done(const DistillReport&) {}
  /// A checkpoint generation is in place. @param directory of the generation
  virtual void generation_written(const RunPosition&, std::string_view /*directory*/) {}
  /// A generation can't be used, and the one before it is tried. @param why names the file
  virtual void generation_damaged(std::string_view /*why*/) {}
  /// The run goes on after this position. Called after corpus_loaded().
  virtual void resumed(const RunPosition&, std::string_view /*directory*/) {}
};

struct TrainingFiles {
  RunRecord* record = nullptr;  ///< rank 0 alone; null: nothing is recorded
  /// dump_tokens: emptied at the start; of a resumed run the steps that are done are kept, and the rest is cut off.
  std::optional<std::string> dump_tokens, replay_tokens;
  /// Writes logits-<phase>-<step>.h5 into `directory`, or into its arm-<kind> for further arms, its
  /// distill-<kind> for students.
  std::optional<LogitsDumpRequest> dump_logits;
  /// RUN: where gen-<n> go. Rank 0's counts, and all ranks must see it. Empty: no checkpoints.
  std::string directory;
  /// Of rank 0, paths included, one assignment a line: kept in checkpoints, and compared when a run is resumed.
  std::string config_toml{};
  /// Goes on from the newest whole generation in `directory`. Equal on all ranks.
  bool resume = false;
  /// Asked on every rank after every step; may be null. If it is true on one, all stop after that step.
  std::function<bool()> stop_requested{};
};

/// Runs all phases from config.loop.first_phase on, or from a checkpoint on. Collective over the world of the mesh of `ops`.
///
/// A first generation is written when the first phase begins. An arm whose exact KL passes rlhf.stop_kl ends with that
/// step, the next one runs.
/// In the host's memory a run that was stopped and resumed records the same numbers as one that was not, bit for bit, on
/// every mesh of whole subtrees. If stop_requested() becomes true the step is finished, a generation is written and the
/// summary's `stopped` says where.
/// @throws InvalidData, InputNotFound, IoError, CommunicationError as its parts do; see Checkpoints::open()
/// @param ops the back end that all tensors are on; files are the same whichever it is, and a run may go on on another
TrainingSummary run_training(TensorOps& ops, const TrainConfig& config, TrainingFiles files, TrainingObserver& observer);

}  // namespace klmesh::loop
