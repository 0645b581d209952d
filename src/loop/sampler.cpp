#include "loop/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "klmesh/error.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {

void fill_context(std::span<const std::int32_t> sequence, std::int64_t position,
                  std::span<std::int32_t> context) {
  const auto words = static_cast<std::int64_t>(context.size());
  for (std::int64_t c = 0; c < words; ++c) {
    const std::int64_t source = position - words + c;
    context[c] = source < 0 ? Vocabulary::begin : sequence[source];
  }
}

namespace {

/// The contexts of one position of all sequences; a copy is kept beside the tokens.
std::vector<std::int32_t> contexts_at(std::int64_t position, SampleBatch& batch) {
  std::vector<std::int32_t> contexts(static_cast<std::size_t>(batch.sequences * batch.context));
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    const auto context = std::span(contexts).subspan(s * batch.context, batch.context);
    fill_context(std::span(batch.tokens).subspan(s * batch.length, batch.length), position, context);
    std::copy(context.begin(), context.end(),
              batch.contexts.begin() + (s * batch.length + position) * batch.context);
  }
  return contexts;
}

/// Draws one token for every sequence that has not ended. Returns the number of rows without a valid logit.
std::int64_t sample_position(const SampleRequest& request, std::int64_t position,
                             std::span<const float> logits, const Policy& policy, Communicator& vocab,
                             std::vector<std::uint8_t>& ended, SampleBatch& batch) {
  const RandomStream stream{request.seed, RandomPurpose::sampling, request.step};
  std::vector<GumbelMax> candidates(static_cast<std::size_t>(request.sequences));
  for (std::int64_t s = 0; s < request.sequences; ++s) {
    if (ended[s] != 0) continue;
    const std::int64_t token = (request.first_sequence + s) * request.length + position;
    candidates[s] =
        gumbel_argmax(logits.subspan(s * policy.head_columns(), policy.shard().columns()), policy.shard(), stream,
                      static_cast<std::uint64_t>(token));
  }
  merge_candidates(candidates, vocab);
  std::int64_t invalid = 0;
  for (std::int64_t s = 0; s < request.sequences; ++s) {
    if (ended[s] != 0) continue;
    if (candidates[s].column < 0) ++invalid;
    const auto token =
        candidates[s].column < 0 ? Vocabulary::end : static_cast<std::int32_t>(candidates[s].column);
    batch.tokens[s * request.length + position] = token;
    batch.mask[s * request.length + position] = 1;
    ended[s] = token == Vocabulary::end ? 1 : 0;
  }
  return invalid;
}

}  // namespace

SampleBatch sample_sequences(const Policy& policy, Mesh& mesh, const SampleRequest& request) {
  if (request.sequences < 0 || request.length < 0 || request.first_sequence < 0) {
    throw InvalidArgument("sample_sequences: negative first sequence, number of sequences or length");
  }
  SampleBatch batch{request.sequences, request.length, policy.model().context, {}, {}, {}};
  const auto tokens = static_cast<std::size_t>(request.sequences * request.length);
  batch.tokens.assign(tokens, Vocabulary::end);
  batch.mask.assign(tokens, 0);
  batch.contexts.assign(tokens * batch.context, Vocabulary::begin);

  std::vector<std::uint8_t> ended(static_cast<std::size_t>(request.sequences), 0);
  std::vector<float> logits(static_cast<std::size_t>(request.sequences * policy.head_columns()));
  Activations activations;
  std::int64_t invalid = 0;
  for (std::int64_t position = 0; position < request.length; ++position) {
    // Rows sit where their sequence puts them, whoever computes them. Ended ones are computed too, and not
    // used.
    const std::vector<std::int32_t> contexts = contexts_at(position, batch);
    policy.forward(contexts, request.first_sequence, activations, logits);
    invalid += sample_position(request, position, logits, policy, mesh.vocab(), ended, batch);
  }
  // The ranks of other rows must hear of it too, or they would wait in the next exchange.
  std::array<std::uint64_t, 1> worst{static_cast<std::uint64_t>(invalid)};
  mesh.world().all_reduce({}, worst);
  if (worst[0] != 0) {
    throw InvalidData(
        fmt::format("sampling step {}: the policy's logits are NaN, +inf or all -inf", request.step));
  }
  return batch;
}

}  // namespace klmesh::loop
