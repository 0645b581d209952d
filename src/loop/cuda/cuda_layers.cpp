// The policy's layers on a GPU, forward and backward.
#include "core/cuda/cuda_check.hpp"
#include "loop/cuda/cuda_ops.hpp"
#include "loop/cuda/embeddings.hpp"
#include "loop/cuda/fixed_point.hpp"
#include "loop/cuda/layers.hpp"

namespace klmesh::loop::cuda {
namespace {

/// Activations of `rows` rows, without gaps.
Matrix<const float> matrix_of(std::span<const float> values, std::int64_t rows, std::int64_t columns) {
  return {values.data(), rows, columns, columns};
}

std::span<const float> row_of(Matrix<const float> bias) { return {bias.data, static_cast<std::size_t>(bias.columns)}; }

}  // namespace

void CudaOps::look_up(const VocabShard& shard, Matrix<const float> embeddings, std::span<const std::int32_t> contexts,
                      const RowFrame&, std::span<float> inputs) {
  cuda::look_up(shard, embeddings, contexts, inputs, stream());
  if (shard.parts > 1) complete_inputs(inputs);
}

// An integer sum moves the bits, as HostOps::look_up() explains. A last float without a partner travels as the low bits of
// a word of its own, of which the maximum is taken.
void CudaOps::complete_inputs(std::span<float> inputs) {
  const std::size_t pairs = inputs.size() / 2;
  const std::span<std::int64_t> words(reinterpret_cast<std::int64_t*>(inputs.data()), pairs);
  if (inputs.size() % 2 == 0) return all_reduce(Group::vocab, words, {});
  flags_.resize(1);
  const std::span<std::byte> last = std::as_writable_bytes(inputs.last(1));
  const std::span<std::byte> word = std::as_writable_bytes(flags_.span());
  clear(word);
  copy(last, word.first(last.size()));
  all_reduce(Group::vocab, words, flags_.span());
  copy(word.first(last.size()), last);
}

void CudaOps::hidden_layer(Matrix<const float> weights, Matrix<const float> bias, std::span<const float> inputs,
                           const RowFrame& frame, std::span<float> hidden) {
  gemm_.multiply(matrix_of(inputs, frame.rows, weights.rows), Transpose::no, weights, Transpose::no,
                 {hidden.data(), frame.rows, weights.columns, weights.columns});
  add_bias_tanh(hidden, row_of(bias), stream());
}

void CudaOps::head_layer(const VocabShard&, Matrix<const float> head, Matrix<const float> bias,
                         std::span<const float> hidden, const RowFrame& frame, std::span<float> logits) {
  gemm_.multiply(matrix_of(hidden, frame.rows, head.columns), Transpose::no, head, Transpose::yes,
                 {logits.data(), frame.rows, head.rows, head.rows});
  add_bias(logits, row_of(bias), stream());
}

// The sum over vocab is of integers: all its ranks get the same bits.
void CudaOps::head_backward(const VocabShard&, const RowFrame& frame, const HeadBackward& tensors) {
  const std::int64_t width = tensors.head.columns;
  add_product(tensors.dlogits, matrix_of(tensors.hidden, frame.rows, width), tensors.dhead);
  add_column_sums(tensors.dlogits, tensors.dbias);

  gemm_.multiply(tensors.dlogits, Transpose::no, tensors.head, Transpose::no,
                 {tensors.dhidden.data(), frame.rows, width, width});
  const FixedPointTensor& sums = tensors.dhidden_sums;
  const std::span<std::int64_t> words(sums.words, tensors.dhidden.size());
  const std::span<std::int64_t> exchanged(sums.words, words.size() + 1);  // the bound lies behind the words
  clear(std::as_writable_bytes(exchanged));
  add(tensors.dhidden, sums, largest_.span().data(), stream());
  all_reduce(Group::vocab, exchanged, {});
  invalidate_if(sums.bound, tensors.dhidden_bound.bound, stream());
  read(words, tensors.dhidden, stream());
}

void CudaOps::hidden_backward(const RowFrame& frame, const HiddenBackward& tensors) {
  tanh_backward(tensors.hidden, tensors.dhidden, stream());
  const auto dhidden = matrix_of(tensors.dhidden, frame.rows, tensors.weights.columns);
  add_product(matrix_of(tensors.inputs, frame.rows, tensors.weights.rows), dhidden, tensors.dweights);
  add_column_sums(dhidden, tensors.dbias);
  gemm_.multiply(dhidden, Transpose::no, tensors.weights, Transpose::yes,
                 {tensors.dinputs.data(), frame.rows, tensors.weights.rows, tensors.weights.rows});
}

void CudaOps::embeddings_backward(const VocabShard& shard, std::span<const std::int32_t> contexts,
                                  std::span<const float> dinputs, const RowFrame&, FixedPointTensor dembeddings) {
  scatter(shard, contexts, dinputs, dembeddings, stream());
}

/// sums += a^T b, over all rows at once.
void CudaOps::add_product(Matrix<const float> a, Matrix<const float> b, FixedPointTensor sums) {
  const std::span<float> product = scratch(a.columns * b.columns);
  gemm_.multiply(a, Transpose::yes, b, Transpose::no, {product.data(), a.columns, b.columns, b.columns});
  add(product, sums, largest_.span().data(), stream());
}

void CudaOps::add_column_sums(Matrix<const float> matrix, FixedPointTensor sums) {
  const std::span<float> columns = scratch(matrix.columns);
  column_sums(matrix, columns, stream());
  add(columns, sums, largest_.span().data(), stream());
}

}  // namespace klmesh::loop::cuda
