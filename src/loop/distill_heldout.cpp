#include "loop/distill_heldout.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "loop/heldout_rows.hpp"

namespace klmesh::loop {

DistillHeldout evaluate_student(Engine& engine, const Policy& teacher, const Policy& student,
                                const DistillExamples& examples) {
  TensorOps& ops = student.ops();
  const std::span<const std::int64_t> host_targets(examples.student.targets);
  const RowRange range =
      part_of_rows(examples.student.size(), kRowTile, ops.mesh().batch_part(), ops.mesh().shape().batch);
  HeldoutRows teacher_rows(teacher, examples.teacher), student_rows(student, examples.student);
  EvaluateOptions options;
  options.quantities = QuantitySet::all;
  options.gradient_follows = false;
  Buffer<std::int64_t> targets(ops, "rows", 0);
  Buffer<TokenStats> tokens(ops, "rows", 0);
  DeviceStepSums sums = engine.make_device_sums(0, options.quantities);
  engine.clear(sums, ops.stream());
  engine.plan(std::min(kHeldoutChunk, range.size()), options);
  for (std::int64_t first = range.begin; first < range.end; first += kHeldoutChunk) {
    const std::int64_t rows = std::min(kHeldoutChunk, range.end - first);
    targets.resize(rows);
    targets.upload(CopyReason::heldout,
                   host_targets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows)));
    const RowInputs inputs{.targets = targets.span(), .mask = {}, .sequence = {}};
    tokens.resize(rows);
    const LogitsView student_logits = student_rows.read(first, rows);  // collective, so one after the other
    const LogitsView teacher_logits = teacher_rows.read(first, rows);
    engine.evaluate(student_logits, teacher_logits, inputs, options, tokens.span(), ops.stream());
    engine.accumulate(tokens.span(), inputs, sums, ops.stream());
  }
  const StepStatistics s = engine.reduce(sums, false, ops.stream());
  DistillHeldout heldout;
  heldout.tokens = s.tokens;
  heldout.student_perplexity = std::exp(-s[Quantity::logp_policy].mean);
  heldout.teacher_perplexity = std::exp(-s[Quantity::logp_reference].mean);
  heldout.kl_forward = s[Quantity::kl_forward].mean;
  heldout.kl_reverse = s[Quantity::kl_reverse].mean;
  heldout.jensen_shannon = s[Quantity::jensen_shannon].mean;
  return heldout;
}

}  // namespace klmesh::loop
