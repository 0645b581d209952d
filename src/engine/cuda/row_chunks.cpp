#include "engine/cuda/row_chunks.hpp"

#include "klmesh/extended_partial.hpp"
#include "klmesh/row_partial.hpp"

namespace klmesh {

RowChunks row_chunks(const ExchangePlan& plan, const VocabShard& shard, const ChunkLimits& limits) {
  const std::int64_t row_bytes = sizeof(RowPartial) + (plan.extended ? sizeof(ExtendedPartial) : 0);
  const std::int64_t received = plan.block * (plan.parts - 1) * row_bytes;
  const std::int64_t pairs = plan.rows * (shard.vocab_size / plan.parts);  // not of this rank's shard: ranks must agree
  const std::int64_t worth = std::min(received / limits.least_bytes, pairs / limits.least_pairs);
  const std::int64_t most = std::max<std::int64_t>(1, std::min<std::int64_t>(limits.most_chunks, plan.block));
  const std::int64_t count = std::clamp<std::int64_t>(worth, 1, most);
  RowChunks chunks;
  chunks.block = plan.block;
  chunks.rows = (plan.block + count - 1) / count;
  chunks.count = chunks.rows == 0 ? 1 : static_cast<int>((plan.block + chunks.rows - 1) / chunks.rows);
  return chunks;
}

}  // namespace klmesh
