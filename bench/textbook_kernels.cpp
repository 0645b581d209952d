// Compiled with -O3 -ffast-math, so that the loops and their exponentials are vectorised.
#include "textbook_kernels.hpp"

#include <algorithm>
#include <cmath>

#include "loop/vector_clones.hpp"

namespace klmesh::bench {

KLMESH_VECTOR_CLONES float largest(const float* x, std::size_t columns) {
  float maximum = -HUGE_VALF;
  for (std::size_t v = 0; v < columns; ++v) maximum = std::max(maximum, x[v]);
  return maximum;
}

KLMESH_VECTOR_CLONES float sum_of_exponentials(const float* x, std::size_t columns, float maximum) {
  float sum = 0.0f;
  for (std::size_t v = 0; v < columns; ++v) sum += expf(x[v] - maximum);
  return sum;
}

KLMESH_VECTOR_CLONES TextbookSums textbook_sums(const float* a, const float* b, std::size_t columns,
                                                float lse_a, float lse_b) {
  TextbookSums s{};
  for (std::size_t v = 0; v < columns; ++v) {
    const float log_p = a[v] - lse_a, log_q = b[v] - lse_b;
    const float p = expf(log_p), q = expf(log_q);
    s.kl_reverse += p * (log_p - log_q);
    s.kl_forward += q * (log_q - log_p);
    s.entropy_policy -= p * log_p;
    s.entropy_reference -= q * log_q;
    s.cross_policy_reference -= p * log_q;
    s.cross_reference_policy -= q * log_p;
  }
  return s;
}

}  // namespace klmesh::bench
