// A chunk's rows on their way to the GPU and back: device memory that lasts from chunk to chunk.
#pragma once

#include <span>
#include <vector>

#include "engine/cuda/memory.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::eval {

/// Views of what was copied are valid until the next copy. Calls make room first, and wait for the device if they must.
class StagedChunk {
 public:
  /// Enqueues the copies; the sources must stay as they are until the stream is done.
  /// @param policy, reference dense, without row lists
  /// @throws CudaError if there is no room
  void upload(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs, StreamRef stream);

  const LogitsView& policy() const noexcept { return policy_.view; }
  const LogitsView& reference() const noexcept { return reference_.view; }
  const RowInputs& inputs() const noexcept { return inputs_; }
  /// (rows) for the results, on the device
  std::span<TokenStats> tokens() const noexcept { return tokens_.at<TokenStats>(0, rows_); }

  /// Enqueues the copy of the results to the host, where they are once the stream is done.
  void download(StreamRef stream);
  /// (rows) on the host
  std::span<const TokenStats> downloaded() const noexcept { return results_.at<TokenStats>(0, rows_); }

 private:
  struct Side {
    DeviceMemory memory;
    LogitsView view;
    void upload(const LogitsView& host, StreamRef stream);
  };

  std::size_t rows_ = 0;
  Side policy_, reference_;
  DeviceMemory targets_, mask_, sequence_, tokens_;
  PinnedMemory results_;  // so that the copy back does not hold up the host before its deadline is watched
  RowInputs inputs_;
};

}  // namespace klmesh::eval
