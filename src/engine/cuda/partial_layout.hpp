// Where partials lie in a send or a receive buffer on the device: chunk by chunk, in each one block a vocabulary part, in each
// block all core partials, all extended ones, and a digest of the rows' inputs. So kernels write where the exchange reads,
// and nothing is packed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/finish.hpp"
#include "engine/cuda/row_chunks.hpp"
#include "engine/exchange_plan.hpp"

namespace klmesh {

/// Blocks of a chunk in a buffer of `blocks` equal ones a chunk, one behind the other, in bytes.
struct ChunkPlace {
  std::size_t begin, block_bytes;

  /// @param trailer_bytes behind the rows of each block
  ChunkPlace(const RowChunks& chunks, int chunk, int blocks, std::size_t row_bytes, std::size_t trailer_bytes)
      : begin(static_cast<std::size_t>(chunk) * static_cast<std::size_t>(blocks) *
              (static_cast<std::size_t>(chunks.rows) * row_bytes + trailer_bytes)),
        block_bytes(static_cast<std::size_t>(chunks.of_block(chunk).size()) * row_bytes + trailer_bytes) {}

  std::size_t at(int block) const noexcept { return begin + static_cast<std::size_t>(block) * block_bytes; }
};

/// Blocks of a chunk in what a rank sends: one for each part, or one for all of them.
inline int sent_blocks(const ExchangePlan& plan) noexcept { return plan.by_rows ? plan.parts : 1; }

/// The partials of a chunk in a buffer of `blocks` a chunk: sent_blocks(), or plan.parts where they arrive.
class PartialLayout {
 public:
  PartialLayout(const ExchangePlan& plan, const RowChunks& chunks, int chunk, int blocks)
      : rows_(chunks.of_block(chunk).size()), place_(chunks, chunk, blocks, row_bytes(plan), kTrailerBytes) {}

  static constexpr std::size_t kTrailerBytes = sizeof(std::uint64_t);
  static std::size_t row_bytes(const ExchangePlan& plan) noexcept {
    return sizeof(RowPartial) + (plan.extended ? sizeof(ExtendedPartial) : 0);
  }
  /// Bytes of a buffer of `blocks` a chunk, of at most `most_chunks`.
  static std::size_t buffer_bytes(const ExchangePlan& plan, int blocks, int most_chunks) noexcept {
    return static_cast<std::size_t>(blocks) * (static_cast<std::size_t>(plan.block) * row_bytes(plan) +
                                               static_cast<std::size_t>(most_chunks) * kTrailerBytes);
  }

  std::size_t block_bytes() const noexcept { return place_.block_bytes; }
  std::size_t core_at(int block) const noexcept { return place_.at(block); }
  std::size_t extended_at(int block) const noexcept {
    return place_.at(block) + static_cast<std::size_t>(rows_) * sizeof(RowPartial);
  }
  std::size_t digest_at(int block) const noexcept { return place_.at(block) + place_.block_bytes - kTrailerBytes; }

  /// What the chunk's exchange received: a block of every part.
  cuda::GatheredPartials gathered(const std::byte* received, const ExchangePlan& plan,
                                  bool extended_quantities) const noexcept {
    cuda::GatheredPartials all;
    all.core = received + core_at(0);
    all.extended = plan.extended ? received + extended_at(0) : nullptr;
    all.block = rows_;
    all.part_stride = block_bytes();
    all.parts = plan.parts;
    all.extended_quantities = extended_quantities;
    return all;
  }

 private:
  std::int64_t rows_;  // of a block
  ChunkPlace place_;
};

}  // namespace klmesh
