#include "klmesh/statistics.hpp"

#include <algorithm>
#include <cmath>

#include "klmesh/error.hpp"

namespace klmesh {
namespace {

bool needs_target(Quantity quantity) noexcept {
  return quantity >= Quantity::logp_policy && quantity <= Quantity::ratio_excess;
}

}  // namespace

std::string_view name(Quantity quantity) noexcept {
  constexpr std::array<std::string_view, kQuantities> names{
      "kl_reverse", "kl_forward", "entropy_policy", "entropy_reference", "cross_entropy_policy_reference",
      "cross_entropy_reference_policy", "logp_policy", "logp_reference", "k1", "k2", "k3", "k1_bias", "k2_bias",
      "k3_bias", "delta_p", "ratio_excess", "chi_square", "chi_square_reference_policy", "hellinger",
      "jensen_shannon", "total_variation", "same_top"};
  return names[static_cast<std::size_t>(quantity)];
}

double value_of(const TokenStats& t, Quantity quantity) noexcept {
  switch (quantity) {
    case Quantity::kl_reverse: return t.kl_reverse;
    case Quantity::kl_forward: return t.kl_forward;
    case Quantity::entropy_policy: return t.entropy_policy;
    case Quantity::entropy_reference: return t.entropy_reference;
    case Quantity::cross_entropy_policy_reference: return t.cross_entropy_policy_reference;
    case Quantity::cross_entropy_reference_policy: return t.cross_entropy_reference_policy;
    case Quantity::logp_policy: return t.logp_policy;
    case Quantity::logp_reference: return t.logp_reference;
    case Quantity::k1: return t.k1;
    case Quantity::k2: return t.k2;
    case Quantity::k3: return t.k3;
    case Quantity::k1_bias: return t.k1 - t.kl_reverse;
    case Quantity::k2_bias: return t.k2 - t.kl_reverse;
    case Quantity::k3_bias: return t.k3 - t.kl_reverse;
    case Quantity::delta_p:
      // pi (1 - r) cancels nothing where r is near 1; where r is large it may overflow, and pi - ref is as good.
      return t.k1 < -1.0 ? std::exp(t.logp_policy) - std::exp(t.logp_reference)
                         : -std::exp(t.logp_policy) * std::expm1(-t.k1);
    case Quantity::ratio_excess: return std::expm1(-t.k1);
    case Quantity::chi_square: return t.chi_square;
    case Quantity::chi_square_reference_policy: return t.chi_square_reference_policy;
    case Quantity::hellinger: return t.hellinger;
    case Quantity::jensen_shannon: return t.jensen_shannon;
    case Quantity::total_variation: return t.total_variation;
    case Quantity::same_top: return t.same_top;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

bool has_value(const TokenStats& token, Quantity quantity) noexcept {
  if (needs_target(quantity)) return (token.flags & kHasTarget) != 0;
  // The extended quantities are NaN where they were not asked for; a core one never is, and would be a defect to see.
  return quantity < Quantity::chi_square || !std::isnan(value_of(token, quantity));
}

StepSums::StepSums(std::int64_t sequences, QuantitySet set) {
  quantities_.assign(set == QuantitySet::all ? kQuantities : kCoreQuantities, QuantitySums(sequences));
  tokens_per_sequence_.assign(static_cast<std::size_t>(sequences), 0);
}

void StepSums::add(const TokenStats& token, std::int64_t sequence) {
  for (std::size_t q = 0; q < quantities_.size(); ++q) {
    const auto quantity = static_cast<Quantity>(q);
    if (has_value(token, quantity)) quantities_[q].add(value_of(token, quantity), sequence);
  }
  ++counts_[kTokens];
  if (sequence >= 0) ++tokens_per_sequence_[static_cast<std::size_t>(sequence)];
}

void StepSums::add_invalid(const InvalidRow& row) {
  if (counts_[kInvalid]++ == 0 || (row.inputs_alone() && counts_[kInvalidInputs] == 0)) first_invalid_ = row;
  if (row.inputs_alone()) ++counts_[kInvalidInputs];
}

void StepSums::merge(const StepSums& other) {
  if (other.quantities_.size() != quantities_.size() || other.tokens_per_sequence_.size() != tokens_per_sequence_.size()) {
    throw InvalidArgument("StepSums::merge: different quantities or numbers of sequences");
  }
  if (counts_[kInvalid] == 0 || (counts_[kInvalidInputs] == 0 && other.counts_[kInvalidInputs] > 0)) {
    first_invalid_ = other.first_invalid_;
  }
  for (std::size_t i = 0; i < kCounts; ++i) counts_[i] += other.counts_[i];
  for (std::size_t g = 0; g < tokens_per_sequence_.size(); ++g) tokens_per_sequence_[g] += other.tokens_per_sequence_[g];
  for (std::size_t q = 0; q < quantities_.size(); ++q) quantities_[q].merge(other.quantities_[q]);
}

std::vector<std::int64_t> StepSums::sum_words() {
  std::vector<std::int64_t> words(counts_.begin(), counts_.end());
  words.insert(words.end(), tokens_per_sequence_.begin(), tokens_per_sequence_.end());
  for (QuantitySums& q : quantities_) {
    const auto sums = q.sums();
    words.insert(words.end(), sums.begin(), sums.end());
  }
  return words;
}

std::vector<std::uint64_t> StepSums::max_words() {
  std::vector<std::uint64_t> words;
  for (QuantitySums& q : quantities_) words.insert(words.end(), q.maxima().begin(), q.maxima().end());
  return words;
}

void StepSums::set_words(std::span<const std::int64_t> sums, std::span<const std::uint64_t> maxima) {
  const auto take = [](auto& from, auto to) {
    std::copy_n(from.begin(), to.size(), to.begin());
    from = from.subspan(to.size());
  };
  take(sums, std::span(counts_));
  take(sums, std::span(tokens_per_sequence_));
  for (QuantitySums& q : quantities_) {
    take(sums, q.sums());
    take(maxima, q.maxima());
  }
}

StepStatistics StepSums::statistics() const {
  StepStatistics result;
  result.tokens = counts_[kTokens];
  result.masked_tokens = counts_[kMasked];
  result.invalid_rows = counts_[kInvalid];
  for (const std::int64_t tokens : tokens_per_sequence_) result.sequences += tokens > 0 ? 1 : 0;
  for (std::size_t q = 0; q < quantities_.size(); ++q) {
    result.quantities[q] = quantities_[q].statistics();
  }
  return result;
}

}  // namespace klmesh
