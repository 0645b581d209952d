#include "klmesh/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/exact_sum.hpp"
#include "core/ordered_key.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Layout of the sum words: four counts of the step, then a block per quantity, then per sequence its number of
// tokens and, for each quantity, the limbs of its sum.
enum StepWord : std::size_t { kTokens, kMasked, kInvalid, kAdditions, kStepWords };
enum BlockWord : std::size_t { kFinite, kPositiveInfinite, kNegativeInfinite, kUndefined, kNegative, kBlockWords };
constexpr std::size_t kSumLimbs = kBlockWords;
constexpr std::size_t kSquareLimbs = kSumLimbs + kValueLimbs;
constexpr std::size_t kBlock = kSquareLimbs + kProductLimbs;
constexpr std::size_t kSequenceWords = 1 + kQuantities * kValueLimbs;
constexpr std::size_t kSequencesBegin = kStepWords + kQuantities * kBlock;

std::size_t block_begin(int quantity) { return kStepWords + static_cast<std::size_t>(quantity) * kBlock; }

std::size_t sequence_begin(std::int64_t sequence) {
  return kSequencesBegin + static_cast<std::size_t>(sequence) * kSequenceWords;
}

std::size_t sequence_limbs(std::int64_t sequence, int quantity) {
  return sequence_begin(sequence) + 1 + static_cast<std::size_t>(quantity) * kValueLimbs;
}

// Maxima: two keys per quantity, the maximum and the maximum of the negated value.
constexpr std::size_t kKeys = 2;

// In the order of Quantity.
std::array<double, kQuantities> values_of(const TokenStats& t) {
  return {t.kl_reverse, t.kl_forward, t.entropy_policy, t.entropy_reference, t.cross_entropy_policy_reference,
          t.cross_entropy_reference_policy, t.logp_policy, t.logp_reference, t.k1, t.k2, t.k3,
          t.k1 - t.kl_reverse, t.k2 - t.kl_reverse, t.k3 - t.kl_reverse};
}

std::span<const std::int64_t> words(const std::vector<std::int64_t>& all, std::size_t begin, std::size_t count) {
  return std::span(all).subspan(begin, count);
}

}  // namespace

std::string_view name(Quantity quantity) noexcept {
  constexpr std::array<std::string_view, kQuantities> names{
      "kl_reverse", "kl_forward", "entropy_policy", "entropy_reference", "cross_entropy_policy_reference",
      "cross_entropy_reference_policy", "logp_policy", "logp_reference", "k1", "k2", "k3", "k1_bias", "k2_bias",
      "k3_bias"};
  return names[static_cast<std::size_t>(quantity)];
}

StepSums::StepSums(std::int64_t sequences)
    : sequences_(sequences),
      sums_(kSequencesBegin + static_cast<std::size_t>(std::max<std::int64_t>(sequences, 0)) * kSequenceWords, 0),
      maxima_(kQuantities * kKeys, 0) {
  if (sequences < 0) throw InvalidArgument("StepSums: a negative number of sequences");
}

void StepSums::add(const TokenStats& token, std::int64_t sequence) {
  if (sequence < -1 || sequence >= sequences_) {
    throw InvalidArgument("sequence id " + std::to_string(sequence) + " is not in [0, " +
                          std::to_string(sequences_) + ")");
  }
  ++sums_[kTokens];
  if (sequence >= 0) ++sums_[sequence_begin(sequence)];
  const std::array<double, kQuantities> values = values_of(token);
  const bool has_target = (token.flags & kHasTarget) != 0;
  for (int q = 0; q < kQuantities; ++q) {
    const double x = values[static_cast<std::size_t>(q)];
    std::int64_t* block = &sums_[block_begin(q)];
    if (std::isnan(x)) {
      // Without a target the quantity does not exist; with one, inf - inf is undefined and makes the mean so.
      block[kUndefined] += has_target ? 1 : 0;
      continue;
    }
    const auto key = static_cast<std::size_t>(q) * kKeys;
    maxima_[key] = std::max(maxima_[key], ordered_key(x));
    maxima_[key + 1] = std::max(maxima_[key + 1], ordered_key(-x));
    block[kNegative] += x < 0.0 ? 1 : 0;
    if (std::isinf(x)) {
      ++block[x > 0.0 ? kPositiveInfinite : kNegativeInfinite];
      continue;
    }
    ++block[kFinite];
    add_value({block + kSumLimbs, kValueLimbs}, x);
    add_product({block + kSquareLimbs, kProductLimbs}, x, x);
    if (sequence >= 0) add_value({&sums_[sequence_limbs(sequence, q)], kValueLimbs}, x);
  }
  // Limbs hold 2^31 additions; carry long before.
  if (++sums_[kAdditions] == (std::int64_t{1} << 30)) carry();
}

void StepSums::add_masked() noexcept { ++sums_[kMasked]; }

void StepSums::add_invalid(const InvalidRow& row) {
  if (sums_[kInvalid]++ == 0) first_invalid_ = row;
}

void StepSums::merge(const StepSums& other) {
  if (other.sequences_ != sequences_) throw InvalidArgument("StepSums::merge: different numbers of sequences");
  if (sums_[kInvalid] == 0) first_invalid_ = other.first_invalid_;
  if (sums_[kAdditions] + other.sums_[kAdditions] >= (std::int64_t{1} << 30)) {
    carry();
    StepSums carried = other;
    carried.carry();
    add_words(carried);
  } else {
    add_words(other);
  }
}

void StepSums::add_words(const StepSums& other) {
  for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
  for (std::size_t i = 0; i < maxima_.size(); ++i) maxima_[i] = std::max(maxima_[i], other.maxima_[i]);
}

void StepSums::carry() {
  for (int q = 0; q < kQuantities; ++q) {
    normalize({&sums_[block_begin(q) + kSumLimbs], kValueLimbs});
    normalize({&sums_[block_begin(q) + kSquareLimbs], kProductLimbs});
    for (std::int64_t g = 0; g < sequences_; ++g) normalize({&sums_[sequence_limbs(g, q)], kValueLimbs});
  }
  sums_[kAdditions] = 1;
}

std::span<std::int64_t> StepSums::sum_words() {
  carry();  // so that as many ranks may be added as limbs hold additions
  return sums_;
}

std::span<std::uint64_t> StepSums::max_words() { return maxima_; }

std::int64_t StepSums::tokens() const noexcept { return sums_[kTokens]; }
std::int64_t StepSums::invalid_rows() const noexcept { return sums_[kInvalid]; }

double StepSums::clustered_error(int q, double mean) const {
  std::int64_t clusters = 0;
  double squares = 0.0;
  for (std::int64_t g = 0; g < sequences_; ++g) {
    const auto n = static_cast<double>(sums_[sequence_begin(g)]);
    if (n == 0.0) continue;
    ++clusters;
    const double sum = to_double(words(sums_, sequence_limbs(g, q), kValueLimbs), kValueOffset);
    const double residual = std::fma(-n, mean, sum);
    squares += residual * residual;
  }
  if (clusters < 2) return kNan;
  const auto count = static_cast<double>(clusters);
  return std::sqrt(count / (count - 1.0) * squares) / static_cast<double>(sums_[kTokens]);
}

QuantityStatistics StepSums::quantity_statistics(int q) const {
  const std::size_t begin = block_begin(q);
  const std::int64_t finite = sums_[begin + kFinite];
  const std::int64_t positive = sums_[begin + kPositiveInfinite];
  const std::int64_t negative = sums_[begin + kNegativeInfinite];
  const bool undefined = sums_[begin + kUndefined] > 0 || (positive > 0 && negative > 0);
  QuantityStatistics s;
  s.count = finite + positive + negative;
  s.infinite = positive + negative;
  s.negative = sums_[begin + kNegative];
  if (s.count == 0) return s;

  const auto key = static_cast<std::size_t>(q) * kKeys;
  s.max = from_ordered_key(maxima_[key]);
  s.min = -from_ordered_key(maxima_[key + 1]);
  if (undefined || s.infinite > 0) {
    s.sum = undefined ? kNan : positive > 0 ? HUGE_VAL : -HUGE_VAL;
    s.mean = s.sum;
    return s;
  }
  const auto n = static_cast<double>(finite);
  const auto sum = words(sums_, begin + kSumLimbs, kValueLimbs);
  s.sum = to_double(sum, kValueOffset);
  s.mean = s.sum / n;
  if (finite > 1) {
    const double scaled = scaled_variance(finite, sum, words(sums_, begin + kSquareLimbs, kProductLimbs));
    s.standard_deviation = std::sqrt(scaled / n / (n - 1.0));
    s.standard_error = s.standard_deviation / std::sqrt(n);
  }
  s.standard_error_clustered = clustered_error(q, s.mean);
  return s;
}

StepStatistics StepSums::statistics() const {
  StepStatistics result;
  result.tokens = sums_[kTokens];
  result.masked_tokens = sums_[kMasked];
  for (std::int64_t g = 0; g < sequences_; ++g) result.sequences += sums_[sequence_begin(g)] > 0 ? 1 : 0;
  for (int q = 0; q < kQuantities; ++q) result.quantities[static_cast<std::size_t>(q)] = quantity_statistics(q);
  return result;
}

}  // namespace klmesh
