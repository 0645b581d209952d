// The policy: a neural n-gram language model, vocabulary-parallel in its embeddings and its output head.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "klmesh/mesh.hpp"
#include "loop/exact_gradient.hpp"
#include "loop/policy_parameters.hpp"

namespace klmesh::loop {

/// Rows of the tiles in which rows are summed. Tile t holds rows 128 t .. 128 t + 127 of the global batch,
/// and rows that are missing are 0. Batch parts that own whole tiles make a step's bits independent of the
/// mesh.
inline constexpr std::int64_t kRowTile = 128;

/// Rows of one product where nothing is summed over rows: a block is a part of a tile. Small, because short
/// batches (sampling) then pay for little padding, and because BLAS is faster on small products.
inline constexpr std::int64_t kRowBlock = 32;
static_assert(kRowTile % kRowBlock == 0);

/// What forward() keeps for backward(). Rows are padded to whole tiles; padding is 0.
struct Activations {
  std::int64_t first_row = 0;          ///< global index of the first row
  std::int64_t rows = 0;               ///< real rows
  std::vector<std::int32_t> contexts;  ///< (rows, context)
  std::vector<float> inputs;           ///< (padded rows, context * embedding)
  std::vector<float> hidden;           ///< (padded rows, hidden), after tanh

  std::int64_t lead() const noexcept { return first_row % kRowTile; }  ///< padding before the first row
  std::int64_t padded_rows() const noexcept {
    return rows == 0 ? 0 : (lead() + rows + kRowTile - 1) / kRowTile * kRowTile;
  }
};

/// Sums of gradients, in the layout of PolicyParameters.
using PolicyGradient = ExactGradient;

/// logits = head tanh(hidden_weights^T [embeddings of the context words] + hidden_bias) + head_bias.
///
/// Copyable; copies share the mesh, which must outlive them. Everything is computed in units (row tile x
/// canonical vocabulary slice) whose bits depend on their contents alone, and summed over units in fixed
/// point: results have the same bits on every mesh of whole subtrees (see vocab_shard.hpp), for any split of
/// the batch in whole tiles.
class Policy {
 public:
  /// @param log_unigram (vocab_size) start of the output bias, or empty for 0
  /// @throws InvalidArgument as initial_policy_parameters()
  Policy(Mesh& mesh, const ModelConfig& model, std::int64_t vocab_size, std::uint64_t seed,
         std::span<const float> log_unigram);

  const VocabShard& shard() const noexcept { return parameters_.shard(); }
  const ModelConfig& model() const noexcept { return parameters_.model(); }
  /// Columns of this rank's logits in memory, the distance between their rows: the shard's, then padding.
  std::int64_t head_columns() const noexcept { return parameters_.head_columns(); }
  PolicyParameters& parameters() noexcept { return parameters_; }
  const PolicyParameters& parameters() const noexcept { return parameters_; }

  /// An empty gradient of this policy's parameters.
  PolicyGradient make_gradient() const;

  /// Computes the logits of this rank's rows and columns. Collective over the vocabulary group.
  ///
  /// @param contexts    (rows, context) preceding words, oldest first; equal on all ranks of the vocabulary
  /// group
  /// @param first_row   global index of the first row; rows may be 0
  /// @param activations output
  /// @param logits      (rows, head_columns()) output; padding holds what the padded head makes of it, and is no
  /// logit of any word
  /// Cost: one exchange of 4 * rows * context * embedding bytes over the vocabulary group.
  /// @throws InvalidArgument on every rank of the vocabulary group, if a word or a size is out of range
  void forward(std::span<const std::int32_t> contexts, std::int64_t first_row, Activations& activations,
               std::span<float> logits) const;

  /// Adds the gradients of all parameters to `gradient`, for this rank's rows alone. Collective over the
  /// vocabulary group. Never throws for bad values: reduce() does, on all ranks.
  ///
  /// @param dlogits (rows, head_columns()) gradient of the objective with respect to the logits. Padding is not read:
  /// the padded head gets no gradient
  /// Cost: one exchange of 8 * rows * hidden bytes over the vocabulary group.
  void backward(const Activations& activations, std::span<const float> dlogits,
                PolicyGradient& gradient) const;

  /// Sums the gradients of all rows. Collective over the world: one exchange of 8 bytes a parameter over the
  /// batch group, and a small one over the vocabulary group.
  /// @throws InvalidData on every rank, naming the tensor: NaN, or a magnitude that the fixed point can't
  /// hold
  void reduce(PolicyGradient& gradient) const;

 private:
  void look_up_embeddings(Activations& activations) const;
  void compute_hidden(Activations& activations) const;
  void compute_logits(const Activations& activations, std::span<float> logits) const;
  void compute_columns(const Activations& activations, std::int64_t first, std::int64_t count, std::span<float> logits,
                       std::vector<float>& scratch) const;
  std::vector<float> backward_head(const Activations& activations, std::span<const float> dlogits,
                                   PolicyGradient& gradient) const;
  void backward_hidden(const Activations& activations, std::vector<float> dhidden,
                       PolicyGradient& gradient) const;

  Mesh* mesh_;
  PolicyParameters parameters_;
};

}  // namespace klmesh::loop
