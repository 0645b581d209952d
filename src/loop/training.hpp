// The main job: corpus, maximum likelihood, reward model, RLHF, from the configuration to the summary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "klmesh/mesh.hpp"
#include "loop/baselines.hpp"
#include "loop/coverage.hpp"
#include "loop/heldout.hpp"
#include "loop/logits_dump.hpp"
#include "loop/penalty.hpp"
#include "loop/run_record.hpp"
#include "loop/step_record.hpp"
#include "loop/train_config.hpp"

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
};

/// Everything the summary of a run says. Parts that were not run are absent.
struct TrainingSummary {
  CorpusReport corpus;
  std::optional<MleReport> mle;
  std::optional<RewardReport> reward;
  std::vector<ArmReport> arms;
};

/// Hears what happens, on the rank that has one. Default: says nothing.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void corpus_loaded(const CorpusReport&) {}
  /// @param arm the penalty's name in phase 3, else empty
  virtual void phase_began(Phase, std::string_view /*arm*/, std::int64_t /*steps*/) {}
  virtual void step_done(const StepRecord&) {}
  virtual void phase_ended(Phase) {}
  virtual void mle_done(const MleReport&) {}
  virtual void reward_done(const RewardReport&) {}
  virtual void arm_done(const ArmReport&) {}
};

struct TrainingFiles {
  RunRecord* record = nullptr;  ///< rank 0 alone; null: nothing is recorded
  std::optional<std::string> dump_tokens, replay_tokens;
  /// Writes logits-<phase>-<step>.h5 into `directory`, or into its arm-<kind> for further arms.
  std::optional<LogitsDumpRequest> dump_logits;
  std::string directory;
};

/// Runs all phases from config.loop.first_phase on. Collective over the world of the mesh.
/// @throws InvalidData, InputNotFound, IoError, CommunicationError as its parts do
TrainingSummary run_training(Mesh& mesh, const TrainConfig& config, TrainingFiles files, TrainingObserver& observer);

}  // namespace klmesh::loop
