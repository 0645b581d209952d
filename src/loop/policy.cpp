#include "loop/policy.hpp"

#include <fmt/format.h>

#include "klmesh/error.hpp"

namespace klmesh::loop {

Policy::Policy(TensorOps& ops, const ModelConfig& model, std::int64_t vocab_size, std::uint64_t seed,
               std::span<const float> log_unigram)
    : ops_(&ops),
      parameters_(initial_policy_parameters(
          ops, PolicyLayout(model, vocab_shard(vocab_size, ops.mesh().vocab_part(), ops.mesh().vocab().size())), seed,
          log_unigram)) {}

void Policy::forward(std::span<const std::int32_t> contexts, std::int64_t first_row, Activations& activations,
                     std::span<float> logits) const {
  const auto words = static_cast<std::int64_t>(contexts.size());
  const std::int64_t rows = words / model().context;
  if (rows * model().context != words ||
      static_cast<std::int64_t>(logits.size()) != rows * head_columns() || first_row < 0) {
    throw InvalidArgument(fmt::format("forward: {} context words and {} logits do not fit {} columns", words,
                                      logits.size(), head_columns()));
  }
  Activations& a = activations;
  a.frame = ops_->frame(first_row, rows);
  a.contexts.resize(words);
  ops_->copy(std::as_bytes(contexts), std::as_writable_bytes(a.contexts.span()));
  a.inputs.resize(a.frame.padded * model().context * model().embedding);
  a.hidden.resize(a.frame.padded * model().hidden);
  ops_->look_up(shard(), parameters_[PolicyTensor::embeddings], a.contexts.span(), a.frame, a.inputs.span());
  ops_->hidden_layer(parameters_[PolicyTensor::hidden_weights], parameters_[PolicyTensor::hidden_bias], a.inputs.span(),
                     a.frame, a.hidden.span());
  ops_->head_layer(shard(), parameters_.padded(PolicyTensor::head), parameters_.padded(PolicyTensor::head_bias),
                   a.hidden.span(), a.frame, logits);
}

void Policy::backward(Activations& activations, std::span<const float> dlogits, PolicyGradient& gradient) const {
  Activations& a = activations;
  if (static_cast<std::int64_t>(dlogits.size()) != a.frame.rows * head_columns()) {
    throw InvalidArgument(fmt::format("backward: {} logit gradients for {} rows of {} columns", dlogits.size(),
                                      a.frame.rows, head_columns()));
  }
  a.dhidden.resize(a.hidden.size());
  a.dinputs.resize(a.inputs.size());
  a.dhidden_sums.resize(a.hidden.size() + 1);
  ops_->head_backward(shard(), a.frame,
                      {.head = parameters_[PolicyTensor::head],
                       .hidden = a.hidden.span(),
                       .dlogits = {dlogits.data(), a.frame.rows, shard().columns(), head_columns()},
                       .dhead = gradient.tensor(PolicyTensor::head),
                       .dbias = gradient.tensor(PolicyTensor::head_bias),
                       .dhidden_sums = {a.dhidden_sums.span().data(), a.hidden.size(), &a.dhidden_sums.span().back()},
                       .dhidden_bound = gradient.hidden_activations(),
                       .dhidden = a.dhidden.span()});
  ops_->hidden_backward(a.frame, {.weights = parameters_[PolicyTensor::hidden_weights],
                                  .inputs = a.inputs.span(),
                                  .hidden = a.hidden.span(),
                                  .dhidden = a.dhidden.span(),
                                  .dweights = gradient.tensor(PolicyTensor::hidden_weights),
                                  .dbias = gradient.tensor(PolicyTensor::hidden_bias),
                                  .dinputs = a.dinputs.span()});
  ops_->embeddings_backward(shard(), a.contexts.span(), a.dinputs.span(), a.frame,
                            gradient.tensor(PolicyTensor::embeddings));
}

}  // namespace klmesh::loop
