// Sampling from the policy: Gumbel-max over a sharded vocabulary, the same tokens on every mesh.
#pragma once

#include <cstdint>

#include "loop/buffer.hpp"
#include "loop/policy.hpp"
#include "loop/random.hpp"

namespace klmesh::loop {

/// What to sample: this rank's part of a batch of sequences.
struct SampleRequest {
  std::int64_t first_sequence = 0;  ///< global index of this rank's first sequence
  std::int64_t sequences = 0;       ///< of this rank; may be 0; equal in the vocabulary group
  std::int64_t length = 0;          ///< tokens a sequence at most
  std::uint64_t seed = 0;
  std::uint32_t step = 0;  ///< other steps draw other noise
};

/// Sampled sequences, in the memory of a back end. Row of a token: sequence * length + position.
struct SampleBatch {
  /// None yet. @param ops must outlive this
  explicit SampleBatch(TensorOps& ops);

  /// Makes room for a request: tokens are <eos>, mask 0, contexts <bos>, none invalid. Allocates if it was never as large.
  void start(const SampleRequest& request, std::int64_t words_of_context);

  /// Reads whether a token could not be drawn, on any rank. Blocks.
  /// @throws InvalidData on every rank, if the policy's logits were NaN or +inf, or none was finite
  void require_valid() const;

  std::uint32_t step = 0;
  std::int64_t sequences = 0;
  std::int64_t length = 0;
  std::int64_t context = 0;
  Buffer<std::int32_t> tokens;    ///< (sequences, length); <eos> ends a sequence; what follows is <eos>, mask 0
  Buffer<std::uint8_t> mask;      ///< (sequences, length)
  Buffer<std::int32_t> contexts;  ///< (sequences, length, context) what the model saw at each token
  Buffer<std::uint64_t> invalid;  ///< (1) most rows of any rank that had no valid logit
};

/// Samples sequences from policies of one back end; keeps what it works in.
class Sampler {
 public:
  /// @param ops must outlive this
  explicit Sampler(TensorOps& ops);

  /// Collective over the world.
  ///
  /// Noise is keyed by (seed, step, global sequence * length + position, column): in the host's memory the same tokens on
  /// every mesh of whole subtrees and for any split of the sequences. Nothing is thrown for invalid logits, before
  /// SampleBatch::require_valid().
  /// Cost: `length` forward passes of `sequences` rows, each with one further exchange of 16 bytes a row.
  /// @throws InvalidArgument if a size is negative
  void sample(const Policy& policy, const SampleRequest& request, SampleBatch& batch);

 private:
  TensorOps* ops_;
  Activations activations_;
  Buffer<std::uint8_t> ended_;             // (sequences)
  Buffer<std::int32_t> position_contexts_; // (sequences, context)
  Buffer<float> logits_;                   // (sequences, head columns)
  Buffer<GumbelMax> candidates_;           // (vocabulary parts + 1, sequences)
};

/// The same in one call, valid on return. Blocks. @throws as both parts do
SampleBatch sample_sequences(const Policy& policy, const SampleRequest& request);

}  // namespace klmesh::loop
