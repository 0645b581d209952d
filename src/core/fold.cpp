#include "core/fold.hpp"

#include <bit>

namespace klmesh {

RowPartial fold(std::span<const RowPartial> partials) {
  if (partials.empty()) return {};
  if (partials.size() == 1) return partials.front();
  const std::size_t left = std::bit_ceil(partials.size()) / 2;
  return merge(fold(partials.first(left)), fold(partials.subspan(left)));
}

}  // namespace klmesh
