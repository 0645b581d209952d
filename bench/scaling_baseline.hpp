// What trainers do today: a vocabulary-parallel softmax with its own MAX and SUM all-reduces, one SUM per
// quantity.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "klmesh/statistics.hpp"
#include "scaling_mesh.hpp"
#include "synthetic_logits.hpp"

namespace klmesh::bench {

/// The quantities that both compute; k1, k2 and k3 follow from the last two.
inline constexpr std::array kBaselineQuantities = {Quantity::kl_reverse,
                                                   Quantity::kl_forward,
                                                   Quantity::entropy_policy,
                                                   Quantity::entropy_reference,
                                                   Quantity::cross_entropy_policy_reference,
                                                   Quantity::cross_entropy_reference_policy,
                                                   Quantity::logp_policy,
                                                   Quantity::logp_reference};

/// Kinder to the baseline than what is found: both normalisers are exchanged once for all quantities, and the
/// passes over the logits are fused.
class BaselineStep {
 public:
  static constexpr int kCollectives = 12;  ///< of a batch of rows, over the vocabulary group

  /// Borrows all three. @param rows of the whole batch
  BaselineStep(ScalingMesh& mesh, const SyntheticLogits& logits, std::span<const std::int64_t> targets,
               std::int64_t rows, std::int64_t first_column);

  /// One step. Collective.
  Parts run();
  /// Means over the whole batch, as kBaselineQuantities are ordered.
  const std::array<double, kBaselineQuantities.size()>& means() const { return means_; }

 private:
  void upcast();
  void maxima();
  void normalisers();
  void quantities();
  void reduce();
  void all_reduce(std::vector<float>& values, MPI_Op operation);

  ScalingMesh& mesh_;
  const SyntheticLogits& logits_;
  std::span<const std::int64_t> targets_;
  std::int64_t rows_, columns_, all_rows_, first_column_;
  std::vector<float> policy_, reference_;             // (rows, columns), if the logits are of 16 bits
  const float *a_ = nullptr, *b_ = nullptr;           // (rows, columns)
  std::vector<float> max_a_, max_b_, sum_a_, sum_b_;  // (rows)
  std::array<std::vector<float>, kBaselineQuantities.size()> values_;  // (rows) each
  std::array<double, kBaselineQuantities.size()> means_{};
  double exchange_ = 0;  // seconds
};

}  // namespace klmesh::bench
