#include "loop/epoch_batches.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace klmesh::loop {

EpochBatches::EpochBatches(std::int64_t examples, std::uint64_t seed, RandomPurpose purpose)
    : seed_(seed), purpose_(purpose), order_(static_cast<std::size_t>(examples)) {}

std::span<const std::int64_t> EpochBatches::select(std::int64_t first, std::int64_t count) {
  const auto examples = static_cast<std::int64_t>(order_.size());
  selected_.clear();
  for (std::int64_t i = first; i < first + count; ++i) {
    if (i / examples != epoch_) shuffle(i / examples);
    selected_.push_back(order_[static_cast<std::size_t>(i % examples)]);
  }
  return selected_;
}

// Fisher-Yates from counter-based numbers.
void EpochBatches::shuffle(std::int64_t epoch) {
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
  const RandomStream stream{seed_, purpose_, static_cast<std::uint32_t>(epoch)};
  for (std::size_t i = order_.size() - 1; i > 0; --i) {
    const std::int64_t j = random_below(stream, i, static_cast<std::int64_t>(i) + 1);
    std::swap(order_[i], order_[static_cast<std::size_t>(j)]);
  }
  epoch_ = epoch;
}

double cosine_decay(double first, double last, std::int64_t step, std::int64_t steps) {
  const double progress = static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, steps));
  const double cosine = 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(1.0, progress)));
  return last + (first - last) * cosine;
}

}  // namespace klmesh::loop
