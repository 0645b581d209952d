// Sums over the tokens of a step, and the statistics that a step reports.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "klmesh/divergence.hpp"

namespace klmesh {

/// The per-token quantities a step keeps statistics of. The k*_bias are estimator - kl_reverse, token by token: a
/// martingale difference, so its standard error is the right test of an estimator's bias.
enum class Quantity : int {
  kl_reverse, kl_forward, entropy_policy, entropy_reference, cross_entropy_policy_reference,
  cross_entropy_reference_policy, logp_policy, logp_reference, k1, k2, k3, k1_bias, k2_bias, k3_bias
};
inline constexpr int kQuantities = 14;

/// "kl_reverse" and so on: the name used in files.
std::string_view name(Quantity quantity) noexcept;

/// Statistics of one quantity over the counted tokens of a step; NaN where undefined.
struct QuantityStatistics {
  std::int64_t count = 0;           ///< tokens that have this quantity, infinite ones included
  std::int64_t infinite = 0;        ///< of these, infinite ones
  std::int64_t negative = 0;        ///< of these, below 0
  double sum = 0;                   ///< the exact sum, rounded once
  double mean = std::numeric_limits<double>::quiet_NaN();
  double min = std::numeric_limits<double>::quiet_NaN();
  double max = std::numeric_limits<double>::quiet_NaN();
  double standard_deviation = std::numeric_limits<double>::quiet_NaN();        ///< divisor n - 1
  double standard_error = std::numeric_limits<double>::quiet_NaN();            ///< tokens as if independent
  double standard_error_clustered = std::numeric_limits<double>::quiet_NaN();  ///< by sequence: the one to quote
};

/// What reduce() returns: the same bits on every rank.
struct StepStatistics {
  std::int64_t tokens = 0;         ///< counted tokens
  std::int64_t masked_tokens = 0;  ///< rows left out by the mask
  std::int64_t sequences = 0;      ///< sequences with at least one counted token; 0 without sequence ids
  std::array<QuantityStatistics, kQuantities> quantities;

  const QuantityStatistics& operator[](Quantity q) const { return quantities[static_cast<std::size_t>(q)]; }
};

/// A row whose data are wrong, as an error names it.
struct InvalidRow {
  std::int64_t row = -1;              ///< row of the batch it came in
  std::int32_t column = -1;           ///< global vocabulary index, -1 if no one column is to blame
  std::uint32_t flags = 0;            ///< RowFlag bits of the row
  std::int64_t target = -1;           ///< its target, if that is what is wrong
};

/// Exact sums over tokens: integer accumulators whose addition is associative. Any order of add() and merge(), any
/// split over ranks: the same bits. Micro-batches of one step merge.
class StepSums {
 public:
  /// @param sequences number of dense sequence ids, 0 for no clustered errors. About 8 KB per sequence.
  explicit StepSums(std::int64_t sequences = 0);

  /// Adds one counted token. @param sequence dense id, or -1 if there are none
  void add(const TokenStats& token, std::int64_t sequence);
  /// Counts a row that the mask left out.
  void add_masked() noexcept;
  /// Counts a row whose data are wrong; the first one is kept for the error that reduce() throws.
  void add_invalid(const InvalidRow& row);
  /// Adds what another micro-batch of the same step summed.
  void merge(const StepSums& other);

  /// The words of the exchange: sums are added, maxima maximised, element by element, over ranks.
  std::span<std::int64_t> sum_words();
  std::span<std::uint64_t> max_words();

  std::int64_t tokens() const noexcept;
  std::int64_t invalid_rows() const noexcept;
  const InvalidRow& first_invalid() const noexcept { return first_invalid_; }

  /// Statistics of what has been summed so far.
  StepStatistics statistics() const;

 private:
  void carry();
  void add_words(const StepSums& other);
  double clustered_error(int quantity, double mean) const;
  QuantityStatistics quantity_statistics(int quantity) const;

  std::int64_t sequences_;
  std::vector<std::int64_t> sums_;
  std::vector<std::uint64_t> maxima_;
  InvalidRow first_invalid_;
};

}  // namespace klmesh
