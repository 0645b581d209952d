// The passes over a row of a vocabulary-parallel softmax as trainers write it, in fp32.
#pragma once

#include <cstddef>

namespace klmesh::bench {

float largest(const float* x, std::size_t columns);

/// sum exp(x - maximum)
float sum_of_exponentials(const float* x, std::size_t columns, float maximum);

/// This shard's share of six quantities.
struct TextbookSums {
  float kl_reverse, kl_forward, entropy_policy, entropy_reference, cross_policy_reference,
      cross_reference_policy;
};

/// @param lse_a, lse_b logarithms of the normalisers over the whole vocabulary
TextbookSums textbook_sums(const float* a, const float* b, std::size_t columns, float lse_a, float lse_b);

}  // namespace klmesh::bench
