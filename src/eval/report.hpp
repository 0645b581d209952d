// What `klmesh eval` finds out about a file, before units and layout.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "klmesh/mesh.hpp"
#include "klmesh/statistics.hpp"

namespace klmesh::eval {

struct EvalOptions {
  std::string path;
  QuantitySet quantities = QuantitySet::all;
  double policy_scale = 1.0;     ///< policy logits are multiplied by it
  double reference_scale = 1.0;
  bool skip_invalid = false;     ///< leave rows with invalid logits or log-probabilities out instead of failing
  std::optional<double> renyi_alpha;  ///< is_renyi_order(); absent: no renyi
};

/// The quantiles that are reported.
inline constexpr std::array<double, 6> kQuantiles{0.01, 0.1, 0.5, 0.9, 0.99, 0.999};

/// Whether quantiles are kept: kl_reverse, kl_forward and what is known of the sampled token alone, to k3.
bool has_quantiles(Quantity q) noexcept;

/// One per-row quantity over all counted tokens, in nats.
struct QuantityReport {
  QuantityStatistics statistics;
  std::int64_t infinite_rows = 0;    ///< infinite because a support is missing
  std::int64_t overflowed_rows = 0;  ///< infinite because the value does not fit a double
  std::int64_t argmax_row = -1;      ///< first row of the file that has the maximum; -1 if there is none
  /// Exact order statistics: the value at rank ceil(q * tokens). See has_quantiles().
  std::optional<std::array<double, kQuantiles.size()>> quantiles;
};

/// k_lambda = k1 + lambda (r - 1), with lambda fitted on the same tokens (in-sample: its bias is O(1/n)).
struct KLambdaReport {
  double lambda = std::numeric_limits<double>::quiet_NaN();
  QuantityReport value;
  std::optional<QuantityStatistics> bias;  ///< of k_lambda - kl_reverse; absent without logits
};

struct EvalReport {
  MeshShape mesh;
  std::string backend = "cpu";               ///< "cpu" or "cuda": where the logits were evaluated
  bool reproducible = true;
  std::int64_t tokens = 0;
  std::int64_t masked_tokens = 0;
  std::int64_t invalid_rows = 0;             ///< skipped
  std::optional<std::int64_t> vocab_size;    ///< absent if the file holds log-probabilities alone
  bool has_exact = false;                    ///< logits: the exact quantities are there
  bool has_extended = false;                 ///< chi_square to same_top are there
  std::optional<double> renyi_alpha;         ///< of renyi, which is there if this and the exact quantities are
  bool has_estimators = false;               ///< targets, or log-probabilities: logp_* to k3, delta_p are there
  std::array<QuantityReport, kQuantities> quantities;  ///< by Quantity; those that are not there are empty
  /// Absent without estimators, for n < 3, and where Var(r - 1) is 0 or not finite.
  std::optional<KLambdaReport> k_lambda;

  const QuantityReport& operator[](Quantity q) const { return quantities[static_cast<std::size_t>(q)]; }
  QuantityReport& operator[](Quantity q) { return quantities[static_cast<std::size_t>(q)]; }
  /// Whether this per-row quantity was computed.
  bool has(Quantity q) const noexcept;
};

}  // namespace klmesh::eval
