// The words that the model sees before a position. Host and device.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/host_device.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {

/// Word c of the `context` words before `position`, oldest first; <bos> where there is none.
KLMESH_HD inline std::int32_t context_word(const std::int32_t* sequence, std::int64_t position, std::int64_t c,
                                           std::int64_t context) {
  const std::int64_t source = position - context + c;
  return source < 0 ? Vocabulary::begin : sequence[source];
}

/// Copies the `context.size()` words before `position` into `context`.
inline void fill_context(std::span<const std::int32_t> sequence, std::int64_t position, std::span<std::int32_t> context) {
  const auto words = static_cast<std::int64_t>(context.size());
  for (std::int64_t c = 0; c < words; ++c) context[c] = context_word(sequence.data(), position, c, words);
}

}  // namespace klmesh::loop
