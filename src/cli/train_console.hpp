// What a person sees of a training run: a table per phase on stdout, progress on stderr.
#pragma once

#include <cstdio>
#include <optional>

#include "cli/console.hpp"
#include "cli/progress.hpp"
#include "loop/training.hpp"

namespace klmesh::cli {

/// Prints on rank 0; other ranks pass loop::TrainingObserver itself.
class TrainConsole final : public loop::TrainingObserver {
 public:
  /// @param out borrowed; @param report_every steps between lines of a table
  TrainConsole(std::FILE* out, std::int64_t report_every, ProgressStyle progress);

  void corpus_loaded(const loop::CorpusReport& report) override;
  void phase_began(loop::Phase phase, std::string_view arm, std::int64_t steps) override;
  void step_done(const loop::StepRecord& step) override;
  void phase_ended(loop::Phase phase) override;
  void mle_done(const loop::MleReport& report) override;
  void arm_done(const loop::ArmReport& report) override;
  void reward_done(const loop::RewardReport& report) override;
  void student_done(const loop::DistillReport& report) override;
  void generation_damaged(std::string_view why) override;
  void resumed(const loop::RunPosition& position, std::string_view directory) override;

 private:
  void say(std::string_view text);

  std::FILE* out_;
  std::int64_t report_every_;
  ProgressStyle style_;
  std::optional<Table> table_;
  std::optional<Progress> progress_;
  std::int64_t steps_ = 0;
};

}  // namespace klmesh::cli
