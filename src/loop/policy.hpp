// The policy: a neural n-gram language model, vocabulary-parallel in its embeddings and its output head.
#pragma once

#include <cstdint>
#include <span>

#include "loop/buffer.hpp"
#include "loop/policy_gradient.hpp"
#include "loop/policy_parameters.hpp"

namespace klmesh::loop {

/// What forward() keeps for backward(), and what backward() works in.
struct Activations {
  /// @param ops must outlive this
  explicit Activations(TensorOps& ops)
      : contexts(ops, "activations", 0),
        inputs(ops, "activations", 0),
        hidden(ops, "activations", 0),
        dhidden(ops, "backward scratch", 0),
        dinputs(ops, "backward scratch", 0),
        dhidden_sums(ops, "backward scratch", 0) {}

  RowFrame frame;
  Buffer<std::int32_t> contexts;  ///< (rows, context)
  Buffer<float> inputs;           ///< (padded rows, context * embedding)
  Buffer<float> hidden;           ///< (padded rows, hidden), after tanh

  Buffer<float> dhidden, dinputs;      ///< as hidden and inputs
  Buffer<std::int64_t> dhidden_sums;   ///< (padded rows * hidden), and a bound
};

/// logits = head tanh(hidden_weights^T [embeddings of the context words] + hidden_bias) + head_bias.
///
/// Copyable; copies share the back end, which must outlive them. On the host results have the same bits on every mesh of
/// whole subtrees, for any split of the batch in whole tiles: see HostOps.
class Policy {
 public:
  /// @param log_unigram (vocab_size) start of the output bias, or empty for 0
  /// @throws InvalidArgument as PolicyLayout, initial_policy_parameters()
  Policy(TensorOps& ops, const ModelConfig& model, std::int64_t vocab_size, std::uint64_t seed,
         std::span<const float> log_unigram);

  TensorOps& ops() const noexcept { return *ops_; }
  const VocabShard& shard() const noexcept { return parameters_.layout().shard(); }
  const ModelConfig& model() const noexcept { return parameters_.layout().model(); }
  /// Columns of this rank's logits in memory, the distance between their rows: the shard's, then padding.
  std::int64_t head_columns() const noexcept { return parameters_.layout().head_columns(); }
  PolicyParameters& parameters() noexcept { return parameters_; }
  const PolicyParameters& parameters() const noexcept { return parameters_; }

  /// An empty gradient of this policy's parameters.
  PolicyGradient make_gradient() const { return {*ops_, parameters_.layout()}; }

  /// Computes the logits of this rank's rows and columns. Collective over the vocabulary group. Spans are memory of the
  /// back end.
  ///
  /// @param contexts    (rows, context) preceding words, oldest first; equal on all ranks of the vocabulary
  /// group
  /// @param first_row   global index of the first row; rows may be 0
  /// @param activations output
  /// @param logits      (rows, head_columns()) output; padding holds what the padded head makes of it, and is no
  /// logit of any word
  /// Cost: one exchange of 4 * rows * context * embedding bytes over the vocabulary group.
  /// @throws InvalidArgument on every rank of the vocabulary group, if a size is out of range, or, in the host's memory, a
  /// word
  void forward(std::span<const std::int32_t> contexts, std::int64_t first_row, Activations& activations,
               std::span<float> logits) const;

  /// Adds the gradients of all parameters to `gradient`, for this rank's rows alone. Collective over the
  /// vocabulary group. Never throws for bad values: PolicyGradient::check() does, on all ranks.
  ///
  /// @param activations as forward() left them
  /// @param dlogits     (rows, head_columns()) gradient of the objective with respect to the logits. Padding is not read:
  /// the padded head gets no gradient
  /// Cost: one exchange of 8 * rows * hidden bytes over the vocabulary group.
  void backward(Activations& activations, std::span<const float> dlogits, PolicyGradient& gradient) const;

 private:
  TensorOps* ops_;
  PolicyParameters parameters_;
};

}  // namespace klmesh::loop
