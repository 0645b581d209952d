// What a language model predicts in a part of the corpus, as rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "loop/corpus.hpp"

namespace klmesh::loop {

/// Every predicted position: each word of each text, and its <eos>, after the `context` words before it.
struct Examples {
  std::int64_t context = 0;
  std::vector<std::int32_t> contexts;  ///< (size, context), <bos>-padded, oldest first
  std::vector<std::int64_t> targets;   ///< (size)

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(targets.size()); }
  std::span<const std::int32_t> context_of(std::int64_t i) const {
    return std::span(contexts).subspan(static_cast<std::size_t>(i * context), static_cast<std::size_t>(context));
  }
};

Examples make_examples(const TextPart& part, std::int64_t context);

}  // namespace klmesh::loop
