// Rewards, penalties and weights of sampled sequences on a GPU.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/stream.hpp"
#include "loop/tensor_ops.hpp"

namespace klmesh::loop::cuda {

/// TensorOps::sequence_terms().
void sequence_terms(Penalty kind, const SequenceShare& share, const WordScores& words,
                    std::span<const std::int32_t> tokens, std::span<const std::uint8_t> mask,
                    std::span<const TokenStats> stats, const SequenceTerms& terms, StreamRef stream);

/// TensorOps::policy_weights(). Every rank computes the returns of all sequences: they are few.
void policy_weights(Penalty kind, double beta, const SequenceShare& share, const SequenceTerms& terms,
                    std::span<const TokenStats> stats, std::span<double> returns, std::span<double> logp,
                    std::span<double> kl, StreamRef stream);

}  // namespace klmesh::loop::cuda
