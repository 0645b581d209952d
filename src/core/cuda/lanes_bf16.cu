#include "core/cuda/lane_launch.cuh"

namespace klmesh::cuda {

LaneLaunch* lanes_of_bf16(Scaling scaling) { return lanes_of_type<DType::bf16>(scaling); }

}  // namespace klmesh::cuda
