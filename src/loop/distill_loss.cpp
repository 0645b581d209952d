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

}  // namespace

DistillLoss::DistillLoss(Engine& engine, const DistillObjective& objective) : engine_(engine), objective_(objective) {
  const double weight = objective.data_weight;
  if (!std::isfinite(objective.temperature) || !(objective.temperature > 0) || !(weight >= 0 && weight <= 1)) {
    throw InvalidArgument(fmt::format("distillation: temperature {} must be finite and > 0, data_weight {} within 0 and 1",
                                      objective.temperature, weight));
  }
  if (objective.kind == Distillation::data) objective_.data_weight = 1;
}

DistillMeasure DistillLoss::evaluate(const LogitsView& student, const LogitsView& teacher, const RowInputs& inputs,
                                     std::int64_t total_rows, GradientView output) {
  const auto [kind, temperature, data_weight] = objective_;
  const bool softens = temperature != 1 && data_weight < 1;
  const QuantitySet needed = kind == Distillation::jensen_shannon ? QuantitySet::all : QuantitySet::core;

  DistillMeasure measured;
  measured.statistics = measure(student, teacher, inputs, softens ? QuantitySet::core : needed, tokens_);
  const LogitsView soft_student = at_temperature(student, temperature), soft_teacher = at_temperature(teacher, temperature);
  const StepStatistics softened =
      softens ? measure(soft_student, soft_teacher, inputs, needed, softened_tokens_) : measured.statistics;
  const double weight = (1 - data_weight) * temperature * temperature;
  measured.loss = (data_weight < 1 ? weight * softened[divergence_of(kind)].mean : 0.0) -
                  data_weight * measured.statistics[Quantity::logp_policy].mean;

  const auto rows = static_cast<std::size_t>(student.rows);
  const std::vector<double> divergence(data_weight < 1 ? rows : 0, weight / static_cast<double>(total_rows));
  const std::vector<double> logp(data_weight > 0 ? rows : 0, -data_weight / static_cast<double>(total_rows));
  if (!softens) {
    engine_.gradient(student, teacher, inputs, tokens_, scales_of(kind, divergence, logp), output, host_stream);
    return measured;
  }
  engine_.gradient(soft_student, soft_teacher, inputs, softened_tokens_, scales_of(kind, divergence, {}), output,
                   host_stream);
  if (data_weight == 0) return measured;
  output.accumulate = true;
  engine_.gradient(student, teacher, inputs, tokens_, scales_of(kind, {}, logp), output, host_stream);
  return measured;
}

StepStatistics DistillLoss::measure(const LogitsView& student, const LogitsView& teacher, const RowInputs& inputs,
                                    QuantitySet quantities, std::vector<TokenStats>& tokens) {
  tokens.resize(static_cast<std::size_t>(student.rows));
  EvaluateOptions options;
  options.quantities = quantities;
  engine_.evaluate(student, teacher, inputs, options, tokens, host_stream);
  StepSums sums(0, quantities);
  engine_.accumulate(tokens, inputs, sums);
  return engine_.reduce(sums);
}

}  // namespace klmesh::loop
