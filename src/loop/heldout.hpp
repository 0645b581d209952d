// The policy on text it never saw, and the same number read as a divergence from the data.
#pragma once

#include <cstdint>

#include "klmesh/engine.hpp"
#include "loop/examples.hpp"
#include "loop/policy.hpp"

namespace klmesh::loop {

/// Held-out loss two ways, nats a token. With p the empirical distribution of the next word given the model's own
/// context, over the same positions: loss = cross_entropy = entropy_data + kl_forward, so to maximise the likelihood
/// is to minimise KL[data || policy].
struct HeldoutReport {
  std::int64_t tokens = 0;
  double loss = 0;           ///< mean of -log pi(next word)
  double perplexity = 0;     ///< exp(loss)
  double cross_entropy = 0;  ///< mean of -sum p log pi: equals loss
  double entropy_data = 0;   ///< mean of H(p)
  double kl_forward = 0;     ///< mean of KL[p || pi]
};

/// Collective over the world of the mesh. Blocks. The reference rows are the log counts of next words, -inf elsewhere.
HeldoutReport evaluate_heldout(Engine& engine, const Policy& policy, const Examples& examples);

}  // namespace klmesh::loop
