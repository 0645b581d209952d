// The optimiser's pass over the parameters, and whether the gradient may be used.
#include <vector>

#include "loop/host/host_ops.hpp"
#include "loop/vector_clones.hpp"

namespace klmesh::loop {
namespace {

KLMESH_VECTOR_CLONES void update(float* parameters, const std::int64_t* gradient, float* first, float* second,
                                 std::size_t count, const AdamCoefficients& k) {
  for (std::size_t i = 0; i < count; ++i) adam_update(parameters[i], gradient[i], first[i], second[i], k);
}

}  // namespace

void HostOps::adam_step(std::span<float> parameters, std::span<const std::int64_t> gradient, std::span<float> first,
                        std::span<float> second, const AdamCoefficients& coefficients) {
  update(parameters.data(), gradient.data(), first.data(), second.data(), parameters.size(), coefficients);
}

void HostOps::agree_on_validity(std::span<std::int64_t> bounds) {
  std::vector<std::uint64_t> invalid(bounds.size());
  for (std::size_t t = 0; t < bounds.size(); ++t) invalid[t] = is_valid_bound(bounds[t]) ? 0 : 1;
  mesh().vocab().all_reduce({}, invalid);
  for (std::size_t t = 0; t < bounds.size(); ++t) {
    bounds[t] = invalid[t] != 0 ? kBoundSaturated : saturated_bound(bounds[t]);
  }
}

}  // namespace klmesh::loop
