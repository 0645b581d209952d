#include "klmesh/quantity_sums.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/exact_sum.hpp"
#include "core/ordered_key.hpp"
#include "core/sum_words.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

using namespace words;  // the layout of sums_

// Limbs hold 2^31 additions: carry long before.
constexpr std::int64_t kCarryAfter = std::int64_t{1} << 29;

// A sequence's count; its limbs follow.
std::size_t sequence_begin(std::int64_t sequence) {
  return kSequences + static_cast<std::size_t>(sequence) * kSequenceWords;
}

}  // namespace

QuantitySums::QuantitySums(std::int64_t sequences) : sequences_(sequences) {
  if (sequences < 0) throw InvalidArgument("a negative number of sequences");
  sums_.resize(sequence_begin(sequences), 0);
}

void QuantitySums::add(double value, std::int64_t sequence) {
  if (sequence < -1 || sequence >= sequences_) {
    throw InvalidArgument("sequence id " + std::to_string(sequence) + " is not in [0, " +
                          std::to_string(sequences_) + ")");
  }
  if (std::isnan(value)) {
    ++sums_[kUndefined];
    return;
  }
  maxima_[0] = std::max(maxima_[0], ordered_key(value));
  maxima_[1] = std::max(maxima_[1], ordered_key(-value));
  sums_[kNegative] += value < 0.0 ? 1 : 0;
  if (std::isinf(value)) {
    ++sums_[value > 0.0 ? kPositiveInfinite : kNegativeInfinite];
    return;
  }
  ++sums_[kFinite];
  add_value(limbs(kSum, kValueLimbs), value);
  add_product(limbs(kSquares, kProductLimbs), value, value);
  if (sequence >= 0) {
    ++sums_[sequence_begin(sequence)];
    add_value(limbs(sequence_begin(sequence) + 1, kValueLimbs), value);
  }
  if (++sums_[kAdditions] >= kCarryAfter) carry();
}

void QuantitySums::merge(const QuantitySums& other) {
  if (other.sequences_ != sequences_) throw InvalidArgument("sums of different numbers of sequences do not merge");
  QuantitySums carried = other;
  carried.carry();
  carry();
  for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += carried.sums_[i];
  for (std::size_t i = 0; i < maxima_.size(); ++i) maxima_[i] = std::max(maxima_[i], other.maxima_[i]);
}

void QuantitySums::carry() {
  normalize(limbs(kSum, kValueLimbs));
  normalize(limbs(kSquares, kProductLimbs));
  for (std::int64_t g = 0; g < sequences_; ++g) normalize(limbs(sequence_begin(g) + 1, kValueLimbs));
  sums_[kAdditions] = 1;
}

std::span<std::int64_t> QuantitySums::sums() {
  carry();
  return sums_;
}

double QuantitySums::clustered_error(double count, double mean) const {
  double clusters = 0.0;
  double squares = 0.0;
  for (std::int64_t g = 0; g < sequences_; ++g) {
    const auto n = static_cast<double>(sums_[sequence_begin(g)]);
    if (n == 0.0) continue;
    clusters += 1.0;
    const double sum = to_double(limbs(sequence_begin(g) + 1, kValueLimbs), kValueOffset);
    const double residual = std::fma(-n, mean, sum);
    squares += residual * residual;
  }
  if (clusters < 2.0) return std::numeric_limits<double>::quiet_NaN();
  return std::sqrt(clusters / (clusters - 1.0) * squares) / count;
}

// In wide integers like all sums: each sequence's mean is rounded, their sum once.
void QuantitySums::add_sequence_means(QuantityStatistics& statistics) const {
  std::vector<std::int64_t> of_means(kValueLimbs, 0), of_sums(kValueLimbs, 0);
  double clusters = 0.0;
  for (std::int64_t g = 0; g < sequences_; ++g) {
    const auto n = static_cast<double>(sums_[sequence_begin(g)]);
    if (n == 0.0) continue;
    clusters += 1.0;
    const auto sum = limbs(sequence_begin(g) + 1, kValueLimbs);
    add_value(of_means, to_double(sum, kValueOffset) / n);
    for (std::size_t i = 0; i < of_sums.size(); ++i) of_sums[i] += sum[i];
  }
  if (clusters == 0.0) return;
  statistics.sequence_mean = to_double(of_means, kValueOffset) / clusters;
  statistics.sequence_sum = to_double(of_sums, kValueOffset) / clusters;
}

QuantityStatistics QuantitySums::statistics() const {
  const std::int64_t positive = sums_[kPositiveInfinite];
  const std::int64_t negative = sums_[kNegativeInfinite];
  QuantityStatistics s;
  s.infinite = positive + negative;
  s.count = sums_[kFinite] + s.infinite;
  s.negative = sums_[kNegative];
  if (s.count == 0) return s;

  s.max = from_ordered_key(maxima_[0]);
  s.min = -from_ordered_key(maxima_[1]);
  if (sums_[kUndefined] > 0 || (positive > 0 && negative > 0)) return s;
  if (s.infinite > 0) {
    s.sum = s.mean = positive > 0 ? HUGE_VAL : -HUGE_VAL;
    s.mean_square = HUGE_VAL;
    if (sequences_ > 0) s.sequence_mean = s.sequence_sum = s.mean;
    return s;
  }
  const auto n = static_cast<double>(s.count);
  const auto sum = limbs(kSum, kValueLimbs);
  const auto squares = limbs(kSquares, kProductLimbs);
  s.sum = to_double(sum, kValueOffset);
  s.mean = s.sum / n;
  s.mean_square = to_double(squares, kProductOffset) / n;
  if (s.count > 1) {
    s.standard_deviation = scaled_deviation(s.count, sum, squares) / std::sqrt(n) / std::sqrt(n - 1.0);
    s.variance = s.standard_deviation * s.standard_deviation;
    s.standard_error = s.standard_deviation / std::sqrt(n);
  }
  if (sequences_ > 0) s.standard_error_clustered = clustered_error(n, s.mean);
  add_sequence_means(s);
  return s;
}

}  // namespace klmesh
