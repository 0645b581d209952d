#include "loop/distill_loss.hpp"

#include <fmt/format.h>

#include <cmath>

#include "klmesh/error.hpp"

namespace klmesh::loop {
namespace {

LogitsView at_temperature(LogitsView logits, double temperature) {
  logits.scale = 1.0 / temperature;
  return logits;
}

RowScales scales_of(Distillation kind, std::span<const double> divergence, std::span<const double> logp) {
  RowScales scales{.kl_reverse = {}, .kl_forward = {}, .logp_policy = logp, .entropy_policy = {}};
  if (kind == Distillation::forward) scales.kl_forward = divergence;
  if (kind == Distillation::reverse) scales.kl_reverse = divergence;
  if (kind == Distillation::jensen_shannon) scales.jensen_shannon = divergence;
  return scales;
}

EvaluateOptions options_of(QuantitySet quantities) {
  EvaluateOptions options;
  options.quantities = quantities;
  return options;
}

DistillObjective checked(DistillObjective objective) {
  const double weight = objective.data_weight;
  if (!std::isfinite(objective.temperature) || !(objective.temperature > 0) || !(weight >= 0 && weight <= 1)) {
    throw InvalidArgument(fmt::format("distillation: temperature {} must be finite and > 0, data_weight {} within 0 and 1",
                                      objective.temperature, weight));
  }
  if (objective.kind == Distillation::data) objective.data_weight = 1;
  return objective;
}

}  // namespace

DistillLoss::DistillLoss(TensorOps& ops, Engine& engine, const DistillObjective& objective)
    : ops_(ops),
      engine_(engine),
      objective_(checked(objective)),
      needed_(objective.kind == Distillation::jensen_shannon ? QuantitySet::all : QuantitySet::core),
      sums_(engine.make_device_sums(0, softens() ? QuantitySet::core : needed_)),
      softened_sums_(engine.make_device_sums(0, needed_)),
      tokens_(ops, "rows", 0),
      softened_tokens_(ops, "rows", 0),
      divergence_(ops, "rows", 0),
      logp_(ops, "rows", 0) {}

void DistillLoss::reserve(std::int64_t rows) {
  engine_.plan(rows, options_of(needed_));
  resize(rows);
}

void DistillLoss::resize(std::int64_t rows) {
  tokens_.resize(rows);
  softened_tokens_.resize(softens() ? rows : 0);
  divergence_.resize(objective_.data_weight < 1 ? rows : 0);
  logp_.resize(objective_.data_weight > 0 ? rows : 0);
}

void DistillLoss::evaluate(const LogitsView& student, const LogitsView& teacher, const RowInputs& inputs,
                           std::int64_t total_rows, GradientView output) {
  const auto [kind, temperature, data_weight] = objective_;
  resize(student.rows);
  evaluate_side(student, teacher, inputs, softens() ? QuantitySet::core : needed_, tokens_, sums_);
  const LogitsView soft_student = at_temperature(student, temperature), soft_teacher = at_temperature(teacher, temperature);
  if (softens()) evaluate_side(soft_student, soft_teacher, inputs, needed_, softened_tokens_, softened_sums_);

  divergence_.fill(weight() / static_cast<double>(total_rows));
  logp_.fill(-data_weight / static_cast<double>(total_rows));
  const std::span<const double> divergence = divergence_.span(), logp = logp_.span();
  if (!softens()) {
    engine_.gradient(student, teacher, inputs, tokens_.span(), scales_of(kind, divergence, logp), output, ops_.stream());
    return;
  }
  engine_.gradient(soft_student, soft_teacher, inputs, softened_tokens_.span(), scales_of(kind, divergence, {}), output,
                   ops_.stream());
  if (data_weight == 0) return;
  output.accumulate = true;
  engine_.gradient(student, teacher, inputs, tokens_.span(), scales_of(kind, {}, logp), output, ops_.stream());
}

DistillMeasure DistillLoss::measure() {
  DistillMeasure measured;
  measured.statistics = engine_.reduce(sums_, false, ops_.stream());
  const StepStatistics softened =
      softens() ? engine_.reduce(softened_sums_, false, ops_.stream()) : measured.statistics;
  const double data_weight = objective_.data_weight;
  measured.loss = (data_weight < 1 ? weight() * softened[divergence_of(objective_.kind)].mean : 0.0) -
                  data_weight * measured.statistics[Quantity::logp_policy].mean;
  return measured;
}

void DistillLoss::evaluate_side(const LogitsView& student, const LogitsView& teacher, const RowInputs& inputs,
                                QuantitySet quantities, Buffer<TokenStats>& tokens, DeviceStepSums& sums) {
  engine_.evaluate(student, teacher, inputs, options_of(quantities), tokens.span(), ops_.stream());
  engine_.clear(sums, ops_.stream());
  engine_.accumulate(tokens.span(), inputs, sums, ops_.stream());
}

}  // namespace klmesh::loop
