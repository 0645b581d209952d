// What becomes of a row in the sums of a step. Host and device.
#pragma once

#include "klmesh/statistics.hpp"

namespace klmesh {

enum class RowStatus { masked, invalid, invalid_sequence, counted };

/// A bit of TokenStats::flags beside RowFlag's: ranks that share the row were given different inputs. It comes with
/// kTargetOutOfRange, as a target that nothing can make right, and with the first part that differs in invalid_column.
inline constexpr std::uint32_t kInputsDiffer = 1u << 16;

/// @param counts      false: the mask left it out; not looked at where ranks were given different masks
/// @param sequence    its id; not looked at unless has_sequence
/// @param sequences   ids are 0 .. sequences - 1
KLMESH_HD inline RowStatus row_status(const TokenStats& token, bool counts, bool has_sequence, std::int64_t sequence,
                                      std::int64_t sequences) {
  if ((token.flags & kInputsDiffer) != 0) return RowStatus::invalid;
  if (!counts) return RowStatus::masked;
  if (token.invalid_logits() || token.invalid_target()) return RowStatus::invalid;
  if (has_sequence && (sequence < 0 || sequence >= sequences)) return RowStatus::invalid_sequence;
  return RowStatus::counted;
}

/// The record of a row whose status is invalid or invalid_sequence.
/// @param target its target, -1 without targets
KLMESH_HD inline InvalidRow invalid_row(const TokenStats& token, RowStatus status, std::int64_t row, std::int64_t target,
                                        std::int64_t sequence) {
  if (status == RowStatus::invalid_sequence) return {row, -1, token.flags | kSequenceOutOfRange, sequence};
  return {row, token.invalid_column, token.flags, target};
}

}  // namespace klmesh
