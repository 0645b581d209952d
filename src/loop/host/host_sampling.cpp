// One position of all sequences: what the model sees, and what is drawn.
#include <algorithm>

#include "loop/context_words.hpp"
#include "loop/host/gumbel_max.hpp"
#include "loop/host/host_ops.hpp"

namespace klmesh::loop {

void HostOps::contexts_at(const SamplePosition& at, std::span<const std::int32_t> tokens,
                          std::span<std::int32_t> contexts, std::span<std::int32_t> position_contexts) {
  for (std::int64_t s = 0; s < at.sequences; ++s) {
    const std::int32_t* const sequence = tokens.data() + s * at.length;
    std::int32_t* const mine = position_contexts.data() + s * at.context;
    for (std::int64_t c = 0; c < at.context; ++c) mine[c] = context_word(sequence, at.position, c, at.context);
    std::copy_n(mine, at.context, contexts.data() + (s * at.length + at.position) * at.context);
  }
}

void HostOps::draw_tokens(const VocabShard& shard, const RandomStream& random, const SamplePosition& at,
                          Matrix<const float> logits, const SampleState& state) {
  const std::span<GumbelMax> candidates = state.candidates.first(static_cast<std::size_t>(at.sequences));
  std::ranges::fill(candidates, GumbelMax{});
  for (std::int64_t s = 0; s < at.sequences; ++s) {
    if (state.ended[s] != 0) continue;
    const std::int64_t token = (at.first_sequence + s) * at.length + at.position;
    const std::span row(logits.data + s * logits.stride, static_cast<std::size_t>(shard.columns()));
    candidates[s] = gumbel_argmax(row, shard, random, static_cast<std::uint64_t>(token));
  }
  merge_candidates(candidates, mesh().vocab());
  for (std::int64_t s = 0; s < at.sequences; ++s) {
    if (state.ended[s] != 0) continue;
    const std::int64_t column = candidates[s].column;
    if (column < 0) ++state.invalid.front();
    const auto token = column < 0 ? Vocabulary::end : static_cast<std::int32_t>(column);
    state.tokens[s * at.length + at.position] = token;
    state.mask[s * at.length + at.position] = 1;
    state.ended[s] = token == Vocabulary::end ? 1 : 0;
  }
}

}  // namespace klmesh::loop
