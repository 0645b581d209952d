#include "klmesh/statistics.hpp"

#include <algorithm>
#include <cmath>

#include "core/quantity_value.hpp"
#include "core/sum_words.hpp"
#include "klmesh/error.hpp"

namespace klmesh {

std::string_view name(Quantity quantity) noexcept {
  constexpr std::array<std::string_view, kQuantities> names{
      "kl_reverse", "kl_forward", "entropy_policy", "entropy_reference", "cross_entropy_policy_reference",
      "cross_entropy_reference_policy", "logp_policy", "logp_reference", "k1", "k2", "k3", "k1_bias", "k2_bias",
      "k3_bias", "delta_p", "ratio_excess", "chi_square", "chi_square_reference_policy", "hellinger",
      "jensen_shannon", "total_variation", "same_top", "renyi"};
  return names[static_cast<std::size_t>(quantity)];
}

double value_of(const TokenStats& token, Quantity quantity) noexcept { return quantity_value(token, quantity); }

bool needs_target(Quantity quantity) noexcept { return quantity_needs_target(quantity); }

bool is_in_nats(Quantity quantity) noexcept {
  return quantity <= Quantity::k3_bias || quantity == Quantity::jensen_shannon || quantity == Quantity::renyi;
}

bool has_value(const TokenStats& token, Quantity quantity) noexcept { return quantity_exists(token, quantity); }

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
  static_assert(kTokens == std::size_t{words::kTokens} && kMasked == std::size_t{words::kMasked} &&
                kInvalid == std::size_t{words::kInvalid} && kInvalidInputs == std::size_t{words::kInvalidInputs} &&
                kCounts == std::size_t{words::kStepCounts});  // see SumLayout
  std::vector<std::int64_t> result(counts_.begin(), counts_.end());
  result.insert(result.end(), tokens_per_sequence_.begin(), tokens_per_sequence_.end());
  for (QuantitySums& q : quantities_) {
    const auto sums = q.sums();
    result.insert(result.end(), sums.begin(), sums.end());
  }
  return result;
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
