#include "engine/vocab_exchange.hpp"

namespace klmesh {

void VocabExchange::reserve(const ExchangePlan& plan) {
  const std::size_t size = plan.extended ? sizeof(FullPartial) : sizeof(RowPartial);
  const std::size_t bytes = static_cast<std::size_t>(plan.block * plan.parts) * size;
  received_.reserve(bytes);
  if (plan.by_rows) send_.reserve(bytes);
}

void VocabExchange::exchange(std::span<const std::byte> partials, std::size_t size, const ExchangePlan& plan) {
  const std::size_t bytes = static_cast<std::size_t>(plan.block * plan.parts) * size;
  received_.resize(bytes);
  if (!plan.by_rows) {
    vocab_->all_gather(partials, received_);
    return;
  }
  send_.assign(partials.begin(), partials.end());
  send_.resize(bytes);  // the blocks are equal; the last ones are padded
  vocab_->all_to_all(send_, received_);
}

}  // namespace klmesh
