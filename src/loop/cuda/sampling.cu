#include "loop/cuda/sampling.hpp"

#include "loop/context_words.hpp"
#include "loop/cuda/launch.cuh"

namespace klmesh::loop::cuda {
namespace {

// A thread a word of a context.
__global__ void fill_contexts_kernel(SamplePosition at, const std::int32_t* tokens, std::int32_t* contexts,
                                     std::int32_t* position_contexts) {
  const std::int64_t i = thread_index();
  if (i >= at.sequences * at.context) return;
  const std::int64_t sequence = i / at.context, c = i % at.context;
  const std::int32_t word = context_word(tokens + sequence * at.length, at.position, c, at.context);
  position_contexts[i] = word;
  contexts[(sequence * at.length + at.position) * at.context + c] = word;
}

// A thread a sequence.
__global__ void write_tokens_kernel(SamplePosition at, const GumbelMax* winners, std::int32_t* tokens,
                                    std::uint8_t* mask, std::uint8_t* ended, std::uint64_t* invalid) {
  const std::int64_t s = thread_index();
  if (s >= at.sequences || ended[s] != 0) return;
  const std::int64_t column = winners[s].column;
  if (column < 0) atomicAdd(reinterpret_cast<unsigned long long*>(invalid), 1ull);
  const auto token = column < 0 ? Vocabulary::end : static_cast<std::int32_t>(column);
  tokens[s * at.length + at.position] = token;
  mask[s * at.length + at.position] = 1;
  ended[s] = token == Vocabulary::end ? 1 : 0;
}

}  // namespace

void fill_contexts(const SamplePosition& at, std::span<const std::int32_t> tokens, std::span<std::int32_t> contexts,
                   std::span<std::int32_t> position_contexts, StreamRef stream) {
  if (at.sequences == 0) return;
  fill_contexts_kernel<<<blocks_for(at.sequences * at.context), kThreads, 0, native(stream)>>>(
      at, tokens.data(), contexts.data(), position_contexts.data());
  check_launch("fill_contexts_kernel");
}

void write_tokens(const SamplePosition& at, std::span<const GumbelMax> winners, const SampleState& state,
                  StreamRef stream) {
  if (at.sequences == 0) return;
  write_tokens_kernel<<<blocks_for(at.sequences), kThreads, 0, native(stream)>>>(
      at, winners.data(), state.tokens.data(), state.mask.data(), state.ended.data(), state.invalid.data());
  check_launch("write_tokens_kernel");
}

}  // namespace klmesh::loop::cuda
