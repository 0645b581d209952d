// The fixed binary tree along which partials are merged.
#pragma once

#include <cstddef>
#include <span>

#include "klmesh/row_partial.hpp"

namespace klmesh {

/// Folds consecutive partials along the fixed tree: the left subtree takes the largest power of two below the count.
/// For 64 slices that is the perfect tree, and a power-of-two number of equal runs, each folded by itself and then
/// folded over the runs, gives the same bits.
RowPartial fold(std::span<const RowPartial> partials);

}  // namespace klmesh
