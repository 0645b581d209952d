// Phase 4: a student learns the distributions of a frozen teacher, on the text that the teacher learnt from.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "klmesh/engine.hpp"
#include "loop/adam.hpp"
#include "loop/distill_loss.hpp"
#include "loop/epoch_batches.hpp"
#include "loop/examples.hpp"
#include "loop/logits_dump.hpp"
#include "loop/partition.hpp"
#include "loop/policy.hpp"
#include "loop/step_record.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// The same positions of the same text, as each of two models sees them: they may look back differently far.
struct DistillExamples {
  Examples teacher, student;

  DistillExamples(const TextPart& text, const ModelConfig& teacher_model, const ModelConfig& student_model)
      : teacher(make_examples(text, teacher_model.context)), student(make_examples(text, student_model.context)) {}
};

/// A student before its first step: sizes of config.student, small random weights that are no part of the teacher's.
/// @param log_unigram (vocab_size) as for Policy
Policy make_student(TensorOps& ops, const TrainConfig& config, std::int64_t vocab_size,
                    std::span<const float> log_unigram);

/// One arm: a student that is trained by one kind of distillation. Collective over the world of the mesh.
///
/// A step copies the words of its batch to the back end (three copies), and back the statistics and the bounds of the
/// gradient, after the update. It allocates nothing after the first one.
class DistillPhase {
 public:
  /// @param teacher frozen; of the student's back end, as is the engine. All references must outlive the phase
  DistillPhase(Engine& engine, const Policy& teacher, Policy student, const DistillExamples& examples,
               Distillation kind, const TrainConfig& config);

  /// One step on a batch drawn without replacement, epoch by epoch: the same batches for every arm. Statistics and loss
  /// are those before the update. The estimators are taken at the words of the text, which the student did not sample:
  /// they do not estimate the KL here.
  /// @throws InvalidData on every rank, if logits or the gradient are invalid; the student is then not to be used
  StepRecord step();

  /// Calls `sink` in every further step. Null: nobody.
  void set_logits_sink(LogitsSink sink) { logits_sink_ = std::move(sink); }

  const Policy& student() const noexcept { return student_; }

  /// For checkpoints. Before the first step alone: goes on after `steps` steps, from student and optimiser as they were
  /// then.
  Policy& student() noexcept { return student_; }
  Adam& optimizer() noexcept { return optimizer_; }
  void resume_at(std::int64_t steps) noexcept { step_ = steps; }

 private:
  void select_batch(std::int64_t first);

  TensorOps& ops_;
  Engine& engine_;
  const Policy& teacher_;
  Policy student_;
  const DistillExamples& examples_;
  const TrainConfig& config_;
  const std::int64_t batch_;  // rows of all batch parts
  const RowRange range_;      // this rank's
  DistillLoss loss_;
  Adam optimizer_;
  PolicyGradient gradient_;
  EpochBatches batches_;
  std::int64_t step_ = 0;
  LogitsSink logits_sink_;

  std::vector<std::int32_t> host_teacher_contexts_, host_student_contexts_;
  std::vector<std::int64_t> host_targets_;
  Buffer<std::int32_t> teacher_contexts_, student_contexts_;  // (rows of this rank, context of each)
  Buffer<std::int64_t> targets_;                              // (rows of this rank)
  Activations teacher_activations_, activations_;
  Buffer<float> teacher_logits_, logits_, dlogits_;  // (rows of this rank, head columns of each)
};

}  // namespace klmesh::loop
