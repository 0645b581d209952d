// A policy's logits on a run of held-out examples.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/logits.hpp"
#include "loop/buffer.hpp"
#include "loop/examples.hpp"
#include "loop/partition.hpp"
#include "loop/policy.hpp"

namespace klmesh::loop {

/// Rows that are read at once: bounds the memory. Any multiple of the tile gives the same bits.
inline constexpr std::int64_t kHeldoutChunk = 2 * kRowTile;

class HeldoutRows {
 public:
  /// Both references must outlive this.
  HeldoutRows(const Policy& policy, const Examples& examples)
      : policy_(policy),
        examples_(examples),
        contexts_(policy.ops(), "rows", 0),
        activations_(policy.ops()),
        logits_(policy.ops(), "logits", 0) {}

  /// Collective over the vocabulary group. Valid until the next call.
  LogitsView read(std::int64_t first, std::int64_t rows) {
    const std::int64_t context = examples_.context;
    contexts_.resize(rows * context);
    contexts_.upload(CopyReason::heldout,
                     std::span(examples_.contexts).subspan(static_cast<std::size_t>(first * context),
                                                           static_cast<std::size_t>(rows * context)));
    logits_.resize(rows * policy_.head_columns());
    policy_.forward(contexts_.span(), first, activations_, logits_.span());
    return logits_view(logits_.span().data(), rows, policy_.head_columns());
  }

  std::span<const float> logits() const noexcept { return logits_.span(); }

 private:
  const Policy& policy_;
  const Examples& examples_;
  Buffer<std::int32_t> contexts_;
  Activations activations_;
  Buffer<float> logits_;
};

}  // namespace klmesh::loop
