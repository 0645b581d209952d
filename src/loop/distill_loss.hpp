// The loss of a student on a batch of text, and its gradient with respect to the student's logits.
#pragma once

#include <cstdint>

#include "klmesh/engine.hpp"
#include "loop/buffer.hpp"
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
  /// @param ops, engine must outlive the loss; an engine of this back end
  /// @throws InvalidArgument unless the temperature is finite and > 0, and the weight of the data within 0 and 1
  DistillLoss(TensorOps& ops, Engine& engine, const DistillObjective& objective);

  /// Makes room for batches of up to `rows` rows of this rank; evaluate() then allocates nothing.
  void reserve(std::int64_t rows);

  /// Evaluates a batch, and writes the gradient of the loss. Enqueued. Collective over the vocabulary group.
  ///
  /// @param student, teacher (rows, >= shard columns) logits of this rank's rows, f32; padding may differ
  /// @param inputs     targets: the words that follow in the text, not samples of the student
  /// @param total_rows of all batch parts: what the loss is a mean over
  /// @param output     (rows, >= shard columns) f32, not the student's logits. Padding is not written
  /// Cost: engine evaluate() and gradient(); both twice if the temperature is not 1 and the data have weight.
  void evaluate(const LogitsView& student, const LogitsView& teacher, const RowInputs& inputs, std::int64_t total_rows,
                GradientView output);

  /// What the batch of the last evaluate() says. Blocks. Collective over the world.
  /// @throws InvalidData on every rank if logits are invalid
  DistillMeasure measure();

 private:
  bool softens() const noexcept { return objective_.temperature != 1 && objective_.data_weight < 1; }
  /// Weight of the divergence in the loss.
  double weight() const noexcept {
    return (1 - objective_.data_weight) * objective_.temperature * objective_.temperature;
  }
  void resize(std::int64_t rows);
  void evaluate_side(const LogitsView& student, const LogitsView& teacher, const RowInputs& inputs,
                     QuantitySet quantities, Buffer<TokenStats>& tokens, DeviceStepSums& sums);

  TensorOps& ops_;
  Engine& engine_;
  DistillObjective objective_;
  QuantitySet needed_;                          // of the divergence
  DeviceStepSums sums_, softened_sums_;
  Buffer<TokenStats> tokens_, softened_tokens_;  // (rows)
  Buffer<double> divergence_, logp_;             // (rows) weights in the gradient
};

}  // namespace klmesh::loop
