// The parameters of the n-gram model: one flat array per rank, with views, and the same layout for moments.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "klmesh/vocab_shard.hpp"
#include "loop/buffer.hpp"
#include "loop/matrix.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

/// The tensors, in the order in which they lie in memory and in gradients.
enum class PolicyTensor : int { embeddings, hidden_weights, hidden_bias, head, head_bias };
inline constexpr int kPolicyTensors = 5;

/// "embeddings" and so on: the name used in files.
std::string_view name(PolicyTensor tensor) noexcept;

/// Rows of embeddings, head and head bias are vocabulary entries and belong to their shard; the rest is
/// replicated.
constexpr bool is_sharded(PolicyTensor tensor) noexcept {
  return tensor != PolicyTensor::hidden_weights && tensor != PolicyTensor::hidden_bias;
}

/// The head and its bias have padding: rows behind those of the shard, up to a multiple of model.head_multiple. They
/// are no words.
constexpr bool is_padded(PolicyTensor tensor) noexcept {
  return tensor == PolicyTensor::head || tensor == PolicyTensor::head_bias;
}

/// Where the tensors of one rank lie in a flat array: all with their padding, one after the other, without gaps.
class PolicyLayout {
 public:
  /// @throws InvalidArgument unless all sizes of the model are at least 1
  PolicyLayout(const ModelConfig& model, const VocabShard& shard);

  const ModelConfig& model() const noexcept { return model_; }
  const VocabShard& shard() const noexcept { return shard_; }
  /// Elements of the array.
  std::int64_t size() const noexcept { return size_; }

  /// Columns of the output head in memory: those of the shard, then padding.
  std::int64_t head_columns() const noexcept { return head_columns_; }

  /// A tensor of the array that begins at `flat`, without padding: embeddings (shard rows, embedding), hidden_weights
  /// (context * embedding, hidden), hidden_bias (1, hidden), head (shard rows, hidden), head_bias (1, shard rows).
  template <class T>
  Matrix<T> matrix(PolicyTensor tensor, T* flat) const noexcept {
    const Extent& e = extents_[static_cast<std::size_t>(tensor)];
    return {flat + e.offset, e.rows, e.columns, e.columns};
  }

  /// The same with padding: head (head_columns(), hidden), head_bias (1, head_columns()).
  template <class T>
  Matrix<T> padded(PolicyTensor tensor, T* flat) const noexcept {
    Matrix<T> matrix = this->matrix(tensor, flat);
    if (tensor == PolicyTensor::head) matrix.rows = head_columns_;
    if (tensor == PolicyTensor::head_bias) matrix.columns = matrix.stride = head_columns_;
    return matrix;
  }

  /// Elements [begin, end) of the array are the tensor's, its padding included.
  std::int64_t begin(PolicyTensor tensor) const noexcept { return extents_[static_cast<std::size_t>(tensor)].offset; }
  std::int64_t end(PolicyTensor tensor) const noexcept {
    const int next = static_cast<int>(tensor) + 1;
    return next == kPolicyTensors ? size_ : begin(static_cast<PolicyTensor>(next));
  }

  /// The part of `flat` that is this tensor's, without padding.
  template <class T>
  std::span<T> part(PolicyTensor tensor, std::span<T> flat) const {
    const Extent& e = extents_[static_cast<std::size_t>(tensor)];
    return flat.subspan(static_cast<std::size_t>(e.offset), static_cast<std::size_t>(e.rows * e.columns));
  }

 private:
  struct Extent {
    std::int64_t offset = 0, rows = 0, columns = 0;  // without padding, which follows
  };
  ModelConfig model_;
  VocabShard shard_;
  std::int64_t head_columns_ = 0;
  std::int64_t size_ = 0;
  std::array<Extent, kPolicyTensors> extents_;
};

/// Parameters of one rank, in the memory of a back end. Copyable: a frozen copy is a reference model.
class PolicyParameters {
 public:
  /// All zero, padding too.
  PolicyParameters(TensorOps& ops, const PolicyLayout& layout)
      : layout_(layout), values_(ops, "parameters", layout.size()) {}

  const PolicyLayout& layout() const noexcept { return layout_; }

  Matrix<float> operator[](PolicyTensor tensor) noexcept { return layout_.matrix(tensor, flat().data()); }
  Matrix<const float> operator[](PolicyTensor tensor) const noexcept { return layout_.matrix(tensor, flat().data()); }
  Matrix<float> padded(PolicyTensor tensor) noexcept { return layout_.padded(tensor, flat().data()); }
  Matrix<const float> padded(PolicyTensor tensor) const noexcept { return layout_.padded(tensor, flat().data()); }

  std::span<float> flat() noexcept { return values_.span(); }
  std::span<const float> flat() const noexcept { return values_.span(); }

 private:
  PolicyLayout layout_;
  Buffer<float> values_;
};

/// Small random weights, keyed by (seed, tensor, global index): the same on every mesh.
///
/// Embeddings are uniform with variance 1, hidden weights uniform with variance 1 / (context * embedding),
/// the head uniform in +-0.05; biases are 0, the head bias is log_unigram where given. Padding is garbage, as in a
/// trainer's memory: weights and biases that make its logits larger than any word's.
/// @param log_unigram (vocab_size) log probabilities of single words, or empty
/// @throws InvalidArgument if log_unigram has another size
PolicyParameters initial_policy_parameters(TensorOps& ops, const PolicyLayout& layout, std::uint64_t seed,
                                           std::span<const float> log_unigram);

}  // namespace klmesh::loop
