#include "engine/exchange_plan.hpp"

#include <algorithm>

namespace klmesh {
namespace {

// Partials (rows x parts) beyond which every rank finishing every row costs more than the all-to-all's latency.
constexpr std::int64_t kGatherLimit = 16384;

}  // namespace

RowRange block_of_rows(std::int64_t rows, int part, int parts) noexcept {
  const std::int64_t block = (rows + parts - 1) / parts;
  return {std::min(rows, block * part), std::min(rows, block * (part + 1))};
}

std::int64_t most_gathered_rows(const VocabShard& shard) noexcept { return kGatherLimit / shard.parts; }

ExchangePlan exchange_plan(std::int64_t rows, const VocabShard& shard, const EvaluateOptions& options) {
  ExchangePlan plan;
  plan.rows = rows;
  plan.parts = shard.parts;
  plan.by_rows = plan.parts > 1 && (options.schedule == Schedule::by_rows ||
                                    (options.schedule == Schedule::automatic && rows > most_gathered_rows(shard)));
  plan.second = options.quantities == QuantitySet::all;
  plan.extended = plan.second || options.renyi_alpha.value_or(1.0) != 1.0;
  plan.block = plan.by_rows ? (rows + plan.parts - 1) / plan.parts : rows;
  plan.finished = plan.by_rows ? block_of_rows(rows, shard.part, plan.parts) : RowRange{0, rows};
  return plan;
}

}  // namespace klmesh
