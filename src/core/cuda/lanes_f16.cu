#include "core/cuda/lane_launch.cuh"

namespace klmesh::cuda {

LaneLaunch* lanes_of_f16(Scaling scaling) { return lanes_of_type<DType::f16>(scaling); }

}  // namespace klmesh::cuda
