#include "loop/distill_phase.hpp"

#include <algorithm>
#include <chrono>

#include "loop/partition.hpp"

namespace klmesh::loop {
namespace {

// Weights are keyed by seed, tensor and index: with the teacher's seed the student would start with a part of the
// teacher's numbers.
constexpr std::uint64_t kStudentSeed = 0x9E3779B97F4A7C15;

void append_context(const Examples& examples, std::int64_t example, std::vector<std::int32_t>& contexts) {
  const auto context = examples.context_of(example);
  contexts.insert(contexts.end(), context.begin(), context.end());
}

void forward(const Policy& policy, std::span<const std::int32_t> contexts, const RowRange& rows,
             Activations& activations, std::vector<float>& logits) {
  logits.resize(static_cast<std::size_t>(rows.size() * policy.head_columns()));
  policy.forward(contexts, rows.begin, activations, logits);
}

}  // namespace

Policy make_student(Mesh& mesh, const TrainConfig& config, std::int64_t vocab_size,
                    std::span<const float> log_unigram) {
  return Policy(mesh, config.student, vocab_size, config.seed ^ kStudentSeed, log_unigram);
}

DistillPhase::DistillPhase(Mesh& mesh, Engine& engine, const Policy& teacher, Policy student,
                           const DistillExamples& examples, Distillation kind, const TrainConfig& config)
    : mesh_(mesh),
      engine_(engine),
      teacher_(teacher),
      student_(std::move(student)),
      examples_(examples),
      config_(config),
      loss_(engine, {kind, config.distill.temperature, config.distill.data_weight}),
      optimizer_(config.adam, static_cast<std::int64_t>(student_.parameters().flat().size())),
      gradient_(student_.make_gradient()),
      batches_(examples.student.size(), config.seed, RandomPurpose::distill_batches) {}

StepRecord DistillPhase::step() {
  const auto start = std::chrono::steady_clock::now();
  const DistillConfig& distill = config_.distill;
  const std::int64_t batch = std::min(distill.batch_tokens, examples_.student.size());
  const RowRange range = part_of_rows(batch, kRowTile, mesh_.batch_part(), mesh_.shape().batch);
  select_batch(step_ * batch + range.begin, range.size());
  forward(teacher_, teacher_contexts_, range, teacher_activations_, teacher_logits_);
  forward(student_, student_contexts_, range, activations_, logits_);
  dlogits_.resize(logits_.size());

  const LogitsView student = logits_view(logits_.data(), range.size(), student_.head_columns());
  const LogitsView teacher = logits_view(teacher_logits_.data(), range.size(), teacher_.head_columns());
  const RowInputs inputs{.targets = targets_, .mask = {}, .sequence = {}};
  if (logits_sink_) logits_sink_(step_ + 1, {batch, range.begin, student, teacher, inputs, false});
  DistillMeasure measured =
      loss_.evaluate(student, teacher, inputs, batch, gradient_view(dlogits_.data(), student.rows, student.columns));
  gradient_.clear();
  student_.backward(activations_, dlogits_, gradient_);
  student_.reduce(gradient_);
  const double rate = cosine_decay(distill.learning_rate, distill.final_learning_rate, step_, distill.steps);
  optimizer_.step(student_.parameters().flat(), gradient_.words(), rate, distill.weight_decay);

  StepRecord record;
  record.phase = Phase::distill;
  record.step = ++step_;
  record.loss = measured.loss;
  record.tokens = measured.statistics.tokens;
  record.statistics = std::move(measured.statistics);
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

// Examples first .. first + count - 1 of the endless sequence of shuffled epochs.
void DistillPhase::select_batch(std::int64_t first, std::int64_t count) {
  teacher_contexts_.clear();
  student_contexts_.clear();
  targets_.clear();
  for (const std::int64_t example : batches_.select(first, count)) {
    append_context(examples_.teacher, example, teacher_contexts_);
    append_context(examples_.student, example, student_contexts_);
    targets_.push_back(examples_.student.targets[static_cast<std::size_t>(example)]);
  }
}

}  // namespace klmesh::loop
