// Where the words of StepSums lie: sums (added over ranks) and maxima (maximised). Host and device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/exact_sum_limbs.hpp"

namespace klmesh {
namespace words {

/// Counts at the head of a step's sum words; the tokens of each sequence follow, then the quantities.
enum StepWord : std::size_t { kTokens, kMasked, kInvalid, kInvalidInputs, kStepCounts };

/// Sum words of a quantity; each sequence's count and limbs follow.
enum QuantityWord : std::size_t {
  kFinite, kPositiveInfinite, kNegativeInfinite, kUndefined, kNegative,
  kAdditions,  ///< since the last carry
  kSum,
  kSquares = kSum + kValueLimbs,
  kSequences = kSquares + kProductLimbs
};

/// Sum words of one sequence within a quantity.
inline constexpr std::size_t kSequenceWords = 1 + kValueLimbs;

/// A quantity's maximum words: ordered keys of the maximum, and of the negated minimum; 0: none.
inline constexpr std::size_t kMaximaPerQuantity = 2;

}  // namespace words

struct SumLayout {
  std::int64_t sequences = 0;
  int quantities = 0;

  KLMESH_HD constexpr std::size_t quantity_words() const {
    return words::kSequences + static_cast<std::size_t>(sequences) * words::kSequenceWords;
  }
  KLMESH_HD constexpr std::size_t sequence_tokens(std::int64_t sequence) const {
    return words::kStepCounts + static_cast<std::size_t>(sequence);
  }
  /// First word of a quantity.
  KLMESH_HD constexpr std::size_t quantity(int q) const {
    return sequence_tokens(sequences) + static_cast<std::size_t>(q) * quantity_words();
  }
  /// Count of a sequence within a quantity; its limbs follow.
  KLMESH_HD constexpr std::size_t quantity_sequence(int q, std::int64_t sequence) const {
    return quantity(q) + words::kSequences + static_cast<std::size_t>(sequence) * words::kSequenceWords;
  }
  KLMESH_HD constexpr std::size_t sum_words() const { return quantity(quantities); }
  KLMESH_HD constexpr std::size_t max_words() const {
    return static_cast<std::size_t>(quantities) * words::kMaximaPerQuantity;
  }
};

}  // namespace klmesh
