// Where partials lie in a send or a receive buffer on the device: one block a vocabulary part, in each block all core
// partials, then all extended ones. So kernels write where the exchange reads, and nothing is packed.
#pragma once

#include <cstddef>

#include "core/cuda/finish.hpp"
#include "engine/exchange_plan.hpp"

namespace klmesh {

struct PartialLayout {
  std::size_t block_rows = 0;
  std::size_t block_bytes = 0;
  bool extended = false;

  explicit PartialLayout(const ExchangePlan& plan)
      : block_rows(static_cast<std::size_t>(plan.block)),
        block_bytes(block_rows * (sizeof(RowPartial) + (plan.extended ? sizeof(ExtendedPartial) : 0))),
        extended(plan.extended) {}

  std::size_t core_at(int block) const noexcept { return static_cast<std::size_t>(block) * block_bytes; }
  std::size_t extended_at(int block) const noexcept { return core_at(block) + block_rows * sizeof(RowPartial); }

  /// What an exchange received: a block of every part.
  cuda::GatheredPartials gathered(const std::byte* received, int parts, bool extended_quantities) const noexcept {
    cuda::GatheredPartials all;
    all.core = received;
    all.extended = extended ? received + extended_at(0) : nullptr;
    all.block = static_cast<std::int64_t>(block_rows);
    all.part_stride = block_bytes;
    all.parts = parts;
    all.extended_quantities = extended_quantities;
    return all;
  }
};

}  // namespace klmesh
