// The endless sequence of shuffled epochs that training on a corpus takes its batches from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "loop/random.hpp"

namespace klmesh::loop {

/// Draws examples without replacement, epoch by epoch. Every rank draws the same order without talking.
class EpochBatches {
 public:
  /// @param examples in all; @param purpose which random numbers order them
  EpochBatches(std::int64_t examples, std::uint64_t seed, RandomPurpose purpose);

  /// Examples first .. first + count - 1 of the endless sequence; first >= 0. Valid until the next call.
  std::span<const std::int64_t> select(std::int64_t first, std::int64_t count);

 private:
  void shuffle(std::int64_t epoch);

  std::uint64_t seed_;
  RandomPurpose purpose_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_;  // (examples) of this epoch
  std::vector<std::int64_t> selected_;
};

/// The rate of a step (from 0) out of `steps`: from `first` to `last` along half a cosine.
double cosine_decay(double first, double last, std::int64_t step, std::int64_t steps);

}  // namespace klmesh::loop
