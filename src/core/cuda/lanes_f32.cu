#include "core/cuda/lane_launch.cuh"

namespace klmesh::cuda {

LaneLaunch* lanes_of_f32(Scaling scaling) { return lanes_of_type<DType::f32>(scaling); }

}  // namespace klmesh::cuda
