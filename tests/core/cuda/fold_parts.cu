#include "core/cuda/fold_parts.hpp"

#include "core/cuda/cuda_check.hpp"
#include "core/cuda/row_tile.cuh"

namespace klmesh::test {
namespace {

template <typename Partial>
__global__ void fold_kernel(Partial* partials, int parts) {
  cuda::fold_runs(partials + blockIdx.x * static_cast<unsigned>(parts), 1, parts);
}

template <typename Partial>
std::vector<Partial> fold_each(const std::vector<Partial>& partials, int parts) {
  const std::size_t rows = partials.size() / static_cast<std::size_t>(parts);
  DeviceArray<Partial> device(partials);
  fold_kernel<<<static_cast<unsigned>(rows), 32>>>(device.data(), parts);
  cuda::check_launch("fold_kernel");
  const std::vector<Partial> all = device.host();
  std::vector<Partial> folded;
  for (std::size_t row = 0; row < rows; ++row) folded.push_back(all[row * static_cast<std::size_t>(parts)]);
  return folded;
}

}  // namespace

std::vector<RowPartial> fold_on_device(const std::vector<RowPartial>& partials, int parts) { return fold_each(partials, parts); }
std::vector<ExtendedPartial> fold_on_device(const std::vector<ExtendedPartial>& partials, int parts) {
  return fold_each(partials, parts);
}

}  // namespace klmesh::test
