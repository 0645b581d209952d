// Sums over the tokens of a step, and the statistics that a step reports.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "klmesh/divergence.hpp"
#include "klmesh/quantity_sums.hpp"

namespace klmesh {

/// The per-token quantities a step keeps statistics of, core ones first. The k*_bias are estimator - kl_reverse, token
/// by token: a martingale difference, so its standard error is the right test of an estimator's bias. ratio_excess is
/// r - 1, what k_lambda is fitted with; delta_p is pi(y) - ref(y).
enum class Quantity : int {
  kl_reverse, kl_forward, entropy_policy, entropy_reference, cross_entropy_policy_reference,
  cross_entropy_reference_policy, logp_policy, logp_reference, k1, k2, k3, k1_bias, k2_bias, k3_bias, delta_p,
  ratio_excess,
  chi_square, chi_square_reference_policy, hellinger, jensen_shannon, total_variation, same_top, renyi
};
inline constexpr int kCoreQuantities = 16;
inline constexpr int kQuantities = 23;

/// Which quantities are computed: `core` leaves out chi_square to same_top. renyi is computed when its order is given.
enum class QuantitySet { core, all };

/// "kl_reverse" and so on: the name used in files.
std::string_view name(Quantity quantity) noexcept;

/// Value of a quantity for one token; NaN if it was not computed or needs a target that is not there.
double value_of(const TokenStats& token, Quantity quantity) noexcept;

/// Whether a quantity is one of the sampled token.
bool needs_target(Quantity quantity) noexcept;

/// Whether a quantity is a number of nats. k2 counts as one, though it is a square: it estimates a KL.
bool is_in_nats(Quantity quantity) noexcept;

/// Whether a quantity exists for one token: false where it needs a target that is not there, or was not asked for.
bool has_value(const TokenStats& token, Quantity quantity) noexcept;

/// What reduce() returns: the same bits on every rank.
struct StepStatistics {
  std::int64_t tokens = 0;         ///< counted tokens
  std::int64_t masked_tokens = 0;  ///< rows left out by the mask
  std::int64_t invalid_rows = 0;   ///< rows skipped as invalid, where that was asked for
  std::int64_t sequences = 0;      ///< sequences with at least one counted token; 0 without sequence ids
  std::array<QuantityStatistics, kQuantities> quantities;

  const QuantityStatistics& operator[](Quantity q) const { return quantities[static_cast<std::size_t>(q)]; }
};

/// A row whose data are wrong, as an error names it.
struct InvalidRow {
  std::int64_t row = -1;     ///< row of the batch it came in
  std::int32_t column = -1;  ///< global vocabulary index, -1 if no one column is to blame; where ranks were given different
                             ///< inputs, the first vocabulary part whose inputs differ from part 0's
  std::uint32_t flags = 0;   ///< RowFlag bits of the row
  std::int64_t target = -1;  ///< its target or sequence id, if that is what is wrong

  /// The logits are in order; the target or the sequence id is not.
  KLMESH_HD bool inputs_alone() const noexcept {
    constexpr std::uint32_t mass = kPolicyHasMass | kReferenceHasMass;
    return (flags & (kInvalidPolicy | kInvalidReference)) == 0 && (flags & mass) == mass;
  }
};

/// Exact sums over tokens. Any order of add() and merge(), any split over ranks: the same bits. Micro-batches of one
/// step merge.
class StepSums {
 public:
  /// @param sequences number of dense sequence ids, 0 for no clustered errors. 9 to 13 KB per sequence.
  explicit StepSums(std::int64_t sequences = 0, QuantitySet set = QuantitySet::core);

  /// Adds one counted token. @param sequence dense id, or -1 if there are none
  void add(const TokenStats& token, std::int64_t sequence);
  /// Counts a row that the mask left out.
  void add_masked() noexcept { ++counts_[kMasked]; }
  /// Counts a row whose data are wrong; the first one is kept for the error that reduce() throws, one whose inputs
  /// are wrong before others: those cannot be skipped.
  void add_invalid(const InvalidRow& row);
  /// Adds what another micro-batch of the same step summed.
  void merge(const StepSums& other);

  /// The words of the exchange, copied out and back: sums are added, maxima maximised, element by element.
  std::vector<std::int64_t> sum_words();
  std::vector<std::uint64_t> max_words();
  void set_words(std::span<const std::int64_t> sums, std::span<const std::uint64_t> maxima);

  std::int64_t tokens() const noexcept { return counts_[kTokens]; }
  std::int64_t invalid_rows() const noexcept { return counts_[kInvalid]; }
  /// Of the invalid rows, those whose logits are fine and whose target or sequence id is not.
  std::int64_t invalid_inputs() const noexcept { return counts_[kInvalidInputs]; }
  std::int64_t sequences() const noexcept { return static_cast<std::int64_t>(tokens_per_sequence_.size()); }
  const InvalidRow& first_invalid() const noexcept { return first_invalid_; }
  QuantitySet quantities() const noexcept {
    return quantities_.size() > kCoreQuantities ? QuantitySet::all : QuantitySet::core;
  }

  /// Statistics of what has been summed so far.
  StepStatistics statistics() const;

 private:
  enum Count : std::size_t { kTokens, kMasked, kInvalid, kInvalidInputs, kCounts };

  std::array<std::int64_t, kCounts> counts_{};
  std::vector<std::int64_t> tokens_per_sequence_;
  std::vector<QuantitySums> quantities_;
  InvalidRow first_invalid_;
};

}  // namespace klmesh
