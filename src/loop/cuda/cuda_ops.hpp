// The loop's operations on a GPU: cuBLAS for products, kernels for the rest, exchanges over NCCL.
#pragma once

#include <cstdint>

#include "klmesh/device_mesh.hpp"
#include "loop/buffer.hpp"
#include "loop/cuda/gemm.hpp"
#include "engine/cuda/owned_stream.hpp"
#include "loop/cuda/uploads.hpp"
#include "loop/tensor_ops.hpp"

namespace klmesh::loop::cuda {

/// Products are whole matrices, so results differ from the host's, and between meshes, in their last places; the same
/// mesh of equal GPUs gives the same bits. Gradients are fixed-point sums like the host's: what ranks add is added exactly.
/// Activations have no padding.
///
/// The ledger counts this object's memory. The CUDA context, NCCL's buffers, the engines' workspace
/// (Engine::workspace_bytes()) and sums of statistics, and 4 MiB of pinned memory of the host are beside it.
class CudaOps final : public TensorOps {
 public:
  /// @param devices groups of the mesh, on the current device
  CudaOps(Mesh& mesh, DeviceMesh devices);

  std::string_view name() const noexcept override { return "cuda"; }
  Memory memory() const noexcept override { return Memory::device; }
  StreamRef stream() const noexcept override { return stream_.ref(); }
  Engine make_engine(std::int64_t vocab_size) override;

  void copy(std::span<const std::byte> from, std::span<std::byte> to) override;
  void clear(std::span<std::byte> memory) override;
  void wait() override;
  void all_reduce(Group group, std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) override;

  void fill(std::span<double> values, double value) override;
  void fill(std::span<std::int32_t> values, std::int32_t value) override;
  void widen(std::span<const std::int32_t> from, std::span<std::int64_t> to) override;
  void widen(std::span<const float> from, std::span<double> to) override;

  RowFrame frame(std::int64_t, std::int64_t rows) const noexcept override { return {rows, 0, rows}; }
  void look_up(const VocabShard& shard, Matrix<const float> embeddings, std::span<const std::int32_t> contexts,
               const RowFrame& frame, std::span<float> inputs) override;
  void hidden_layer(Matrix<const float> weights, Matrix<const float> bias, std::span<const float> inputs,
                    const RowFrame& frame, std::span<float> hidden) override;
  void head_layer(const VocabShard& shard, Matrix<const float> head, Matrix<const float> bias,
                  std::span<const float> hidden, const RowFrame& frame, std::span<float> logits) override;

  void head_backward(const VocabShard& shard, const RowFrame& frame, const HeadBackward& tensors) override;
  void hidden_backward(const RowFrame& frame, const HiddenBackward& tensors) override;
  void embeddings_backward(const VocabShard& shard, std::span<const std::int32_t> contexts,
                           std::span<const float> dinputs, const RowFrame& frame, FixedPointTensor dembeddings) override;

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

 private:
  DeviceCommunicator& group_of(Group group) noexcept;
  template <typename Exchange>
  void exchange(Exchange&& enqueue);
  void complete_inputs(std::span<float> inputs);
  void add_product(Matrix<const float> a, Matrix<const float> b, FixedPointTensor sums);
  void add_column_sums(Matrix<const float> matrix, FixedPointTensor sums);
  std::span<float> scratch(std::int64_t size);

  DeviceMesh devices_;
  OwnedStream stream_;
  Uploads uploads_;
  // Freed by this object, so behind all that freeing needs.
  Buffer<std::byte> workspace_;
  Gemm gemm_;
  Buffer<float> scratch_;           // a product, or sums of columns, before they are added to fixed-point sums
  Buffer<std::uint32_t> largest_;   // (1)
  Buffer<std::uint64_t> flags_;     // of bounds; and one float's bits
};

}  // namespace klmesh::loop::cuda
