// A student in long double, its parameters one flat array of the whole vocabulary: the oracle of its gradients.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "loop/distill_loss.hpp"
#include "loop/policy.hpp"

namespace klmesh::loop {

using Row = std::vector<long double>;

/// log softmax(row / temperature)
inline Row log_softmax(Row row, long double temperature) {
  long double largest = -HUGE_VALL, sum = 0;
  for (long double& x : row) largest = std::max(largest, x /= temperature);
  for (const long double x : row) sum += std::exp(x - largest);
  for (long double& x : row) x -= largest + std::log(sum);
  return row;
}

/// The n-gram model of policy.hpp, by its formula.
class LongDoubleModel {
 public:
  /// @param whole a policy on one rank
  explicit LongDoubleModel(const Policy& whole) : model_(whole.model()) {
    for (int t = 0; t < kPolicyTensors; ++t) {
      const auto matrix = whole.parameters()[static_cast<PolicyTensor>(t)];
      tensors[t].assign(matrix.data, matrix.data + matrix.rows * matrix.columns);
    }
  }

  Row logits(std::span<const std::int32_t> context) const {
    const auto hidden_width = static_cast<std::size_t>(model_.hidden), width = static_cast<std::size_t>(model_.embedding);
    Row hidden = tensors[2];
    for (std::size_t k = 0; k < context.size() * width; ++k) {
      const auto word = static_cast<std::size_t>(context[k / width]);
      for (std::size_t h = 0; h < hidden_width; ++h) {
        hidden[h] += tensors[0][word * width + k % width] * tensors[1][k * hidden_width + h];
      }
    }
    for (long double& h : hidden) h = std::tanh(h);
    Row out = tensors[4];
    for (std::size_t v = 0; v < out.size(); ++v) {
      for (std::size_t h = 0; h < hidden_width; ++h) out[v] += hidden[h] * tensors[3][v * hidden_width + h];
    }
    return out;
  }

  Row tensors[kPolicyTensors];

 private:
  ModelConfig model_;
};

/// The divergence of a kind between two rows of logits, by its definition.
inline long double divergence(Distillation kind, const Row& student_logits, const Row& teacher_logits,
                              long double temperature) {
  const Row student = log_softmax(student_logits, temperature), teacher = log_softmax(teacher_logits, temperature);
  long double sum = 0;
  for (std::size_t v = 0; v < student.size(); ++v) {
    const long double q = std::exp(student[v]), p = std::exp(teacher[v]);
    if (kind == Distillation::forward) sum += p * (teacher[v] - student[v]);
    if (kind == Distillation::reverse) sum += q * (student[v] - teacher[v]);
    if (kind != Distillation::jensen_shannon) continue;
    const long double log_mean = std::log((p + q) / 2);
    sum += (p * (teacher[v] - log_mean) + q * (student[v] - log_mean)) / 2;
  }
  return sum;
}

/// The loss of one row, by the formula of DistillObjective.
inline long double row_loss(const DistillObjective& o, const Row& student, const Row& teacher, std::int64_t word) {
  const long double data = o.kind == Distillation::data ? 1.0L : static_cast<long double>(o.data_weight);
  const long double t = o.temperature;
  return (1 - data) * t * t * divergence(o.kind, student, teacher, t) -
         data * log_softmax(student, 1)[static_cast<std::size_t>(word)];
}

}  // namespace klmesh::loop
