// The loop's operations in the host's memory: OpenBLAS, SIMD, the host's communicators.
#pragma once

#include "loop/partition.hpp"
#include "loop/tensor_ops.hpp"

namespace klmesh::loop {

/// Rows of one product where nothing is summed over rows: a block is a part of a tile. Small, because short
/// batches (sampling) then pay for little padding, and because BLAS is faster on small products.
inline constexpr std::int64_t kRowBlock = 32;
static_assert(kRowTile % kRowBlock == 0);

/// Everything is computed in units (row tile x canonical vocabulary slice) whose bits depend on their contents alone, and
/// summed over units in fixed point: results have the same bits on every mesh of whole subtrees (see vocab_shard.hpp), for
/// any split of the batch in whole tiles. Frames are padded to whole tiles of the global batch.
///
/// Calls run to their end. Scratch of a unit's size, and of exchanges, is taken and given back within a call, and is not
/// counted.
class HostOps final : public TensorOps {
 public:
  /// @param mesh must outlive this
  explicit HostOps(Mesh& mesh) noexcept : TensorOps(mesh) {}

  std::string_view name() const noexcept override { return "cpu"; }
  Memory memory() const noexcept override { return Memory::host; }
  StreamRef stream() const noexcept override { return host_stream; }
  Engine make_engine(std::int64_t vocab_size) override { return Engine(mesh(), vocab_size); }

  void copy(std::span<const std::byte> from, std::span<std::byte> to) override;
  void clear(std::span<std::byte> memory) override;
  void wait() override {}
  void all_reduce(Group group, std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) override;

  void fill(std::span<double> values, double value) override;
  void fill(std::span<std::int32_t> values, std::int32_t value) override;
  void widen(std::span<const std::int32_t> from, std::span<std::int64_t> to) override;
  void widen(std::span<const float> from, std::span<double> to) override;

  RowFrame frame(std::int64_t first_row, std::int64_t rows) const noexcept override;
  void look_up(const VocabShard& shard, Matrix<const float> embeddings, std::span<const std::int32_t> contexts,
               const RowFrame& frame, std::span<float> inputs) override;
  void hidden_layer(Matrix<const float> weights, Matrix<const float> bias, std::span<const float> inputs,
                    const RowFrame& frame, std::span<float> hidden) override;
  void head_layer(const VocabShard& shard, Matrix<const float> head, Matrix<const float> bias,
                  std::span<const float> hidden, const RowFrame& frame, std::span<float> logits) override;

  void head_backward(const VocabShard& shard, const RowFrame& frame, const HeadBackward& tensors) override;
  void hidden_backward(const RowFrame& frame, const HiddenBackward& tensors) override;
  void embeddings_backward(const VocabShard& shard, std::span<const std::int32_t> contexts,
                           std::span<const float> dinputs, const RowFrame& frame,
                           FixedPointTensor dembeddings) override;

  void agree_on_validity(std::span<std::int64_t> bounds) override;
  void adam_step(std::span<float> parameters, std::span<const std::int64_t> gradient, std::span<float> first,
                 std::span<float> second, const AdamCoefficients& coefficients) override;

  void contexts_at(const SamplePosition& at, std::span<const std::int32_t> tokens, std::span<std::int32_t> contexts,
                   std::span<std::int32_t> position_contexts) override;
  void draw_tokens(const VocabShard& shard, const RandomStream& random, const SamplePosition& at,
                   Matrix<const float> logits, const SampleState& state) override;

  void sequence_terms(Penalty kind, const SequenceShare& share, const WordScores& words,
                      std::span<const std::int32_t> tokens, std::span<const std::uint8_t> mask,
                      std::span<const TokenStats> stats, const SequenceTerms& terms) override;
  void policy_weights(Penalty kind, double beta, const SequenceShare& share, const SequenceTerms& terms,
                      std::span<const TokenStats> stats, std::span<double> returns, std::span<double> logp,
                      std::span<double> kl) override;

 protected:
  std::byte* allocate_bytes(std::size_t bytes) override;
  void release_bytes(std::byte* memory, std::size_t bytes) noexcept override;
  void upload_bytes(std::span<const std::byte> from, std::span<std::byte> to) override;
  void download_bytes(std::span<const std::byte> from, std::span<std::byte> to) override;
};

}  // namespace klmesh::loop
