// Exact sums of one per-token quantity, and the statistics they give.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace klmesh {

/// Statistics of one quantity over the counted tokens of a step; NaN where undefined.
struct QuantityStatistics {
  std::int64_t count = 0;     ///< tokens that have this quantity, infinite ones included
  std::int64_t infinite = 0;  ///< of these, infinite ones
  std::int64_t negative = 0;  ///< of these, below 0
  double sum = std::numeric_limits<double>::quiet_NaN();  ///< the exact sum, rounded once
  double mean = std::numeric_limits<double>::quiet_NaN();
  double min = std::numeric_limits<double>::quiet_NaN();
  double max = std::numeric_limits<double>::quiet_NaN();
  double mean_square = std::numeric_limits<double>::quiet_NaN();
  double variance = std::numeric_limits<double>::quiet_NaN();                  ///< divisor n - 1
  double standard_deviation = std::numeric_limits<double>::quiet_NaN();        ///< its root
  double standard_error = std::numeric_limits<double>::quiet_NaN();            ///< tokens as if independent
  double standard_error_clustered = std::numeric_limits<double>::quiet_NaN();  ///< by sequence: the one to quote
  /// Over the sequences that have the quantity, each with the same weight; NaN without sequence ids.
  double sequence_mean = std::numeric_limits<double>::quiet_NaN();  ///< mean of each one's mean over its tokens
  double sequence_sum = std::numeric_limits<double>::quiet_NaN();   ///< mean of each one's sum over its tokens
};

/// Wide integer accumulators of a quantity's values and squares, its extremes, and its sum within each sequence.
/// Addition is associative: any order, any split over ranks gives the same bits.
class QuantitySums {
 public:
  /// @param sequences number of dense sequence ids, 0 for no clustered errors. 544 bytes each.
  /// @throws InvalidArgument if negative
  explicit QuantitySums(std::int64_t sequences = 0);

  /// Adds one token's value. Infinite values are counted, not summed; NaN counts as undefined (inf - inf).
  /// @param sequence dense id in [0, sequences), or -1
  void add(double value, std::int64_t sequence);

  /// Adds other sums of the same quantity and number of sequences.
  void merge(const QuantitySums& other);

  /// What ranks exchange: sums are added, maxima maximised, element by element. sums() carries first, so that as many
  /// ranks may be added as limbs have room for.
  std::span<std::int64_t> sums();
  std::span<std::uint64_t> maxima() { return maxima_; }

  /// Statistics of what has been added so far. Clusters are the sequences that have the quantity.
  QuantityStatistics statistics() const;

 private:
  void carry();
  double clustered_error(double count, double mean) const;
  void add_sequence_means(QuantityStatistics& statistics) const;
  std::span<std::int64_t> limbs(std::size_t begin, std::size_t count) { return std::span(sums_).subspan(begin, count); }
  std::span<const std::int64_t> limbs(std::size_t begin, std::size_t count) const {
    return std::span(sums_).subspan(begin, count);
  }

  std::int64_t sequences_;
  std::vector<std::int64_t> sums_;  // counts, limbs of the sum, of the squares; each sequence's count and limbs
  std::array<std::uint64_t, 2> maxima_{};  // ordered keys of the maximum, and of the negated minimum; 0: none
};

}  // namespace klmesh
