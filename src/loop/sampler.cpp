#include "loop/sampler.hpp"

#include <fmt/format.h>

#include "klmesh/error.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {

SampleBatch::SampleBatch(TensorOps& ops)
    : tokens(ops, "sequences", 0), mask(ops, "sequences", 0), contexts(ops, "sequences", 0), invalid(ops, "sequences", 1) {}

void SampleBatch::start(const SampleRequest& request, std::int64_t words_of_context) {
  step = request.step;
  sequences = request.sequences;
  length = request.length;
  context = words_of_context;
  tokens.resize(sequences * length);
  tokens.fill(Vocabulary::end);
  mask.resize(sequences * length);
  mask.clear();
  contexts.resize(sequences * length * context);
  contexts.fill(Vocabulary::begin);
  invalid.clear();
}

void SampleBatch::require_valid() const {
  if (invalid.download(CopyReason::step_report).front() == 0) return;
  throw InvalidData(fmt::format("sampling step {}: the policy's logits are NaN, +inf or all -inf", step));
}

Sampler::Sampler(TensorOps& ops)
    : ops_(&ops),
      activations_(ops),
      ended_(ops, "sequences", 0),
      position_contexts_(ops, "sequences", 0),
      logits_(ops, "logits", 0),
      candidates_(ops, "sequences", 0) {}

void Sampler::sample(const Policy& policy, const SampleRequest& request, SampleBatch& batch) {
  if (request.sequences < 0 || request.length < 0 || request.first_sequence < 0) {
    throw InvalidArgument("sampling: negative first sequence, number of sequences or length");
  }
  batch.start(request, policy.model().context);
  ended_.resize(request.sequences);
  ended_.clear();
  position_contexts_.resize(request.sequences * batch.context);
  logits_.resize(request.sequences * policy.head_columns());
  candidates_.resize((ops_->mesh().vocab().size() + 1) * request.sequences);
  const RandomStream random{request.seed, RandomPurpose::sampling, request.step};
  const Matrix<const float> logits{logits_.span().data(), request.sequences, policy.head_columns(),
                                   policy.head_columns()};
  const SampleState state{batch.tokens.span(), batch.mask.span(), ended_.span(), batch.invalid.span(),
                          candidates_.span()};
  SamplePosition at{request.sequences, request.length, 0, request.first_sequence, batch.context};
  for (; at.position < request.length; ++at.position) {
    // Rows sit where their sequence puts them, whoever computes them. Ended ones are computed too, and not
    // used.
    ops_->contexts_at(at, batch.tokens.span(), batch.contexts.span(), position_contexts_.span());
    policy.forward(position_contexts_.span(), request.first_sequence, activations_, logits_.span());
    ops_->draw_tokens(policy.shard(), random, at, logits, state);
  }
  // The ranks of other rows must hear of invalid ones too.
  ops_->all_reduce(TensorOps::Group::world, {}, batch.invalid.span());
}

SampleBatch sample_sequences(const Policy& policy, const SampleRequest& request) {
  SampleBatch batch(policy.ops());
  Sampler sampler(policy.ops());  // lives until all is done: freeing its memory behind an exchange has no deadline
  sampler.sample(policy, request, batch);
  batch.require_valid();
  return batch;
}

}  // namespace klmesh::loop
