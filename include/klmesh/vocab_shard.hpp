// How the vocabulary is cut: 64 canonical slices, and the contiguous run of them that a vocabulary part owns.
#pragma once

#include <cstdint>

#include "klmesh/host_device.hpp"

namespace klmesh {

/// Number of canonical slices. Partial sums are formed per slice and merged along one fixed binary tree over the
/// slices, so that results do not depend on how many parts share the vocabulary.
inline constexpr int kVocabSlices = 64;

/// First column of canonical slice `slice` (0..64); slice 64 begins at `vocab_size`.
///
/// Boundaries are multiples of 16 columns, so the even split of the usual trainers consists of whole slices.
/// Slices may be empty when the vocabulary is small.
KLMESH_HD constexpr std::int64_t slice_begin(std::int64_t vocab_size, int slice) noexcept {
  if (slice >= kVocabSlices) return vocab_size;
  const std::int64_t boundary = 16 * ((slice * vocab_size + 512) / 1024);
  return boundary < vocab_size ? boundary : vocab_size;
}

/// The slices and columns that one vocabulary part owns.
struct VocabShard {
  std::int64_t vocab_size = 0;  ///< real vocabulary, without padding
  int part = 0;                 ///< this part, 0..parts-1
  int parts = 1;                ///< number of vocabulary parts
  int first_slice = 0;          ///< first canonical slice
  int last_slice = 0;           ///< one past the last canonical slice
  std::int64_t begin = 0;       ///< first column (global index)
  std::int64_t end = 0;         ///< one past the last column

  constexpr std::int64_t columns() const noexcept { return end - begin; }
  constexpr bool contains(std::int64_t column) const noexcept { return column >= begin && column < end; }
};

/// The shard of part `part` of `parts`: slices floor(64 part / parts) to floor(64 (part + 1) / parts).
/// @throws InvalidArgument unless vocab_size >= 1, 1 <= parts <= 64 and 0 <= part < parts
VocabShard vocab_shard(std::int64_t vocab_size, int part, int parts);

/// True if every part is a whole subtree of the slice tree (1, 2, 4 ... 64 parts): then the bits of every result
/// are the same as on one rank.
constexpr bool is_whole_subtrees(int parts) noexcept {
  return parts > 0 && parts <= kVocabSlices && (parts & (parts - 1)) == 0;
}

}  // namespace klmesh
