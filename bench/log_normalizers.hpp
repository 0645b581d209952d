// What the sampled estimators need of a row, and no more: the logarithms of both normalisers.
#pragma once

#include <cstdint>

#include "klmesh/logits.hpp"

namespace klmesh::bench {

struct LogNormalizers {
  double policy = 0;     ///< logsumexp of the policy logits
  double reference = 0;  ///< logsumexp of the reference logits
};

/// One read of both rows: an exp2 of each logit, summed. The same means as the library's kernel (run-time
/// dispatch, fp32 lanes that are flushed to fp64, the maximum found along the way), so that the comparison is
/// fair.
/// @param policy, reference (columns) logits, finite; f32 or bf16
/// Cost: two exponentials a pair. Error: some 1e-6.
LogNormalizers log_normalizers(DType dtype, const void* policy, const void* reference, std::int64_t columns);

}  // namespace klmesh::bench
