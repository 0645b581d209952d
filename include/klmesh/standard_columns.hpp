// The columns that every statistics file has.
#pragma once

#include <vector>

#include "klmesh/column_set.hpp"

namespace klmesh::io {

/// {kl_reverse, kl_forward, entropy_policy, entropy_reference, logp_policy, logp_reference, k1, k2, k3} x
/// {mean, min, max, stddev, stderr, stderr_clustered}, {k1, k2, k3} x {bias, bias_stderr,
/// bias_stderr_clustered}, reward_mean, reward_stddev, loss, perplexity_heldout, tokens: in this order.
std::vector<Column> standard_columns();

}  // namespace klmesh::io
