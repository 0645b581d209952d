// The fixed binary tree along which partials are merged.
#pragma once

#include <bit>
#include <cstddef>
#include <span>

#include "klmesh/extended_partial.hpp"
#include "klmesh/row_partial.hpp"

namespace klmesh {

/// Second-stage sums of a run of columns of one row: shares of the row's divergences. 24 bytes; what ranks exchange.
struct SecondStagePartial {
  double jensen_shannon = 0;
  double total_variation = 0;
  double kl_policy_mixture = 0;  ///< of KL[pi || (pi + ref) / 2], which the gradient of jensen_shannon needs
};
static_assert(sizeof(SecondStagePartial) == 24);

KLMESH_HD inline SecondStagePartial merge(const SecondStagePartial& left, const SecondStagePartial& right) {
  return {left.jensen_shannon + right.jensen_shannon, left.total_variation + right.total_variation,
          left.kl_policy_mixture + right.kl_policy_mixture};
}

/// Folds consecutive partials along the fixed tree: the left subtree takes the largest power of two below the count.
/// For 64 slices that is the perfect tree, and a power-of-two number of equal runs, each folded by itself and then
/// folded over the runs, gives the same bits.
template <typename Partial>
Partial fold_tree(std::span<const Partial> partials) {
  if (partials.empty()) return {};
  if (partials.size() == 1) return partials.front();
  const std::size_t left = std::bit_ceil(partials.size()) / 2;
  return merge(fold_tree(partials.first(left)), fold_tree(partials.subspan(left)));
}

inline RowPartial fold(std::span<const RowPartial> partials) { return fold_tree(partials); }
inline ExtendedPartial fold(std::span<const ExtendedPartial> partials) { return fold_tree(partials); }
inline SecondStagePartial fold(std::span<const SecondStagePartial> partials) { return fold_tree(partials); }

}  // namespace klmesh
