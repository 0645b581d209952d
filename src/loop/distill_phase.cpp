#include "loop/distill_phase.hpp"

#include <algorithm>
#include <chrono>

namespace klmesh::loop {
namespace {

// Weights are keyed by seed, tensor and index: with the teacher's seed the student would start with a part of the
// teacher's numbers.
constexpr std::uint64_t kStudentSeed = 0x9E3779B97F4A7C15;

void append_context(const Examples& examples, std::int64_t example, std::vector<std::int32_t>& contexts) {
  const auto context = examples.context_of(example);
  contexts.insert(contexts.end(), context.begin(), context.end());
}

}  // namespace

Policy make_student(TensorOps& ops, const TrainConfig& config, std::int64_t vocab_size,
                    std::span<const float> log_unigram) {
  return Policy(ops, config.student, vocab_size, config.seed ^ kStudentSeed, log_unigram);
}

DistillPhase::DistillPhase(Engine& engine, const Policy& teacher, Policy student, const DistillExamples& examples,
                           Distillation kind, const TrainConfig& config)
    : ops_(student.ops()),
      engine_(engine),
      teacher_(teacher),
      student_(std::move(student)),
      examples_(examples),
      config_(config),
      batch_(std::min(config.distill.batch_tokens, examples.student.size())),
      range_(part_of_rows(batch_, kRowTile, ops_.mesh().batch_part(), ops_.mesh().shape().batch)),
      loss_(ops_, engine, {kind, config.distill.temperature, config.distill.data_weight}),
      optimizer_(ops_, config.adam, student_.parameters().layout().size()),
      gradient_(student_.make_gradient()),
      batches_(examples.student.size(), config.seed, RandomPurpose::distill_batches),
      teacher_contexts_(ops_, "rows", range_.size() * examples.teacher.context),
      student_contexts_(ops_, "rows", range_.size() * examples.student.context),
      targets_(ops_, "rows", range_.size()),
      teacher_activations_(ops_),
      activations_(ops_),
      teacher_logits_(ops_, "logits", range_.size() * teacher.head_columns()),
      logits_(ops_, "logits", range_.size() * student_.head_columns()),
      dlogits_(ops_, "logits", logits_.size()) {
  loss_.reserve(range_.size());
}

StepRecord DistillPhase::step() {
  const auto start = std::chrono::steady_clock::now();
  const DistillConfig& distill = config_.distill;
  select_batch(step_ * batch_ + range_.begin);
  teacher_.forward(teacher_contexts_.span(), range_.begin, teacher_activations_, teacher_logits_.span());
  student_.forward(student_contexts_.span(), range_.begin, activations_, logits_.span());

  const LogitsView student = logits_view(logits_.span().data(), range_.size(), student_.head_columns());
  const LogitsView teacher = logits_view(teacher_logits_.span().data(), range_.size(), teacher_.head_columns());
  const RowInputs inputs{.targets = targets_.span(), .mask = {}, .sequence = {}};
  if (logits_sink_) logits_sink_(step_ + 1, {batch_, range_.begin, student, teacher, inputs, false});
  loss_.evaluate(student, teacher, inputs, batch_, gradient_view(dlogits_.span().data(), student.rows, student.columns));
  gradient_.clear();
  student_.backward(activations_, dlogits_.span(), gradient_);
  gradient_.reduce();
  const double rate = cosine_decay(distill.learning_rate, distill.final_learning_rate, step_, distill.steps);
  optimizer_.step(student_.parameters().flat(), gradient_.words(), rate, distill.weight_decay);

  // All is enqueued; from here on the host waits.
  DistillMeasure measured = loss_.measure();
  gradient_.check();
  StepRecord record;
  record.phase = Phase::distill;
  record.step = ++step_;
  record.loss = measured.loss;
  record.tokens = measured.statistics.tokens;
  record.statistics = std::move(measured.statistics);
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

// This rank's examples from `first` on, of the endless sequence of shuffled epochs.
void DistillPhase::select_batch(std::int64_t first) {
  host_teacher_contexts_.clear();
  host_student_contexts_.clear();
  host_targets_.clear();
  for (const std::int64_t example : batches_.select(first, range_.size())) {
    append_context(examples_.teacher, example, host_teacher_contexts_);
    append_context(examples_.student, example, host_student_contexts_);
    host_targets_.push_back(examples_.student.targets[static_cast<std::size_t>(example)]);
  }
  teacher_contexts_.upload(CopyReason::batch, host_teacher_contexts_);
  student_contexts_.upload(CopyReason::batch, host_student_contexts_);
  targets_.upload(CopyReason::batch, host_targets_);
}

}  // namespace klmesh::loop
