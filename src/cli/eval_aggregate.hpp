// How the tokens of sequences become one number.
#pragma once

#include <string_view>

#include "klmesh/quantity_sums.hpp"

namespace klmesh::cli {

enum class Aggregate {
  token_mean,     ///< sum over all tokens / their number: the mean that is always reported
  sequence_mean,  ///< mean over sequences of each one's mean over its tokens
  sequence_sum,   ///< mean over sequences of each one's sum over its tokens
};

/// The field that a report has beside the token-mean; empty for the token-mean itself.
constexpr std::string_view field_of(Aggregate aggregate) noexcept {
  if (aggregate == Aggregate::sequence_mean) return "sequence_mean";
  if (aggregate == Aggregate::sequence_sum) return "sequence_sum";
  return "";
}

/// NaN for the sequence aggregates of a file without sequences.
constexpr double value_of(const QuantityStatistics& statistics, Aggregate aggregate) noexcept {
  if (aggregate == Aggregate::sequence_mean) return statistics.sequence_mean;
  if (aggregate == Aggregate::sequence_sum) return statistics.sequence_sum;
  return statistics.mean;
}

}  // namespace klmesh::cli
