#include "core/cuda/lane_launch.cuh"

namespace klmesh::cuda {
namespace {

// Scales that are equal are treated like others: the product of each side comes with what its rounding left.
template <DType kPolicy, DType kReference>
LaneLaunch* lanes_of_types(Scaling scaling) {
  if (scaling == Scaling::none) return launch_lanes<LaneForm<kPolicy, kReference, Scaling::none>>;
  return launch_lanes<LaneForm<kPolicy, kReference, Scaling::unequal>>;
}

}  // namespace

LaneLaunch* lanes_of_mixed(DType policy, DType reference, Scaling scaling) {
  const auto are = [&](DType a, DType b) { return policy == a && reference == b; };
  if (are(DType::bf16, DType::f32)) return lanes_of_types<DType::bf16, DType::f32>(scaling);
  if (are(DType::f32, DType::bf16)) return lanes_of_types<DType::f32, DType::bf16>(scaling);
  if (are(DType::f16, DType::f32)) return lanes_of_types<DType::f16, DType::f32>(scaling);
  if (are(DType::f32, DType::f16)) return lanes_of_types<DType::f32, DType::f16>(scaling);
  return nullptr;
}

}  // namespace klmesh::cuda
