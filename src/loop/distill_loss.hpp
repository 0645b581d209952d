// The loss of a student on a batch of text, and its gradient with respect to the student's logits.
#pragma once

#include <cstdint>
#include <vector>

#include "klmesh/engine.hpp"
#include "loop/distillation.hpp"

namespace klmesh::loop {

/// (1 - data_weight) T^2 D(teacher, student) - data_weight log student(y), mean over the rows. D is the kind's
/// divergence between both distributions at temperature T, log student(y) that of the text's next word at
/// temperature 1. T^2 keeps the size of D's gradient, which falls with 1/T^2.
/// Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv:1503.02531.
struct DistillObjective {
  Distillation kind = Distillation::forward;
  double temperature = 1;
  double data_weight = 0;  ///< 0 to 1; the kind `data` always has 1
};

/// What a batch says of a student. The same bits on all ranks.
struct DistillMeasure {
  StepStatistics statistics;  ///< at temperature 1; the student is the policy, the teacher the reference
  double loss = 0;            ///< nats a token
};

class DistillLoss {
 public:
  /// @param engine must outlive the loss
  /// @throws InvalidArgument unless the temperature is finite and > 0, and the weight of the data within 0 and 1
  DistillLoss(Engine& engine, const DistillObjective& objective);

  /// Measures a batch, and writes the gradient of the loss. Collective over the world.
  ///
  /// @param student, teacher (rows, >= shard columns) logits of this rank's rows, f32; padding may differ
  /// @param inputs     targets: the words that follow in the text, not samples of the student
  /// @param total_rows of all batch parts: what the loss is a mean over
  /// @param output     (rows, >= shard columns) f32, not the student's logits. Padding is not written
  /// Cost: engine evaluate() and gradient(); both twice if the temperature is not 1 and the data have weight.
  /// @throws InvalidData on every rank if logits are invalid
  DistillMeasure evaluate(const LogitsView& student, const LogitsView& teacher, const RowInputs& inputs,
                          std::int64_t total_rows, GradientView output);

 private:
  StepStatistics measure(const LogitsView& student, const LogitsView& teacher, const RowInputs& inputs,
                         QuantitySet quantities, std::vector<TokenStats>& tokens);

  Engine& engine_;
  DistillObjective objective_;
  std::vector<TokenStats> tokens_, softened_tokens_;  // (rows)
};

}  // namespace klmesh::loop
