#include "eval/order_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/ordered_key.hpp"

namespace klmesh::eval {

std::array<double, kQuantiles.size()> quantiles(std::span<const double> values, std::int64_t count,
                                                Communicator& world) {
  constexpr std::size_t kBins = 256;
  std::array<std::uint64_t, kQuantiles.size()> prefix{};    // the key's digits that are known, from the top
  std::array<std::int64_t, kQuantiles.size()> remaining{};  // rank within the keys of that prefix, from 1
  for (std::size_t q = 0; q < kQuantiles.size(); ++q) {
    const auto rank = static_cast<std::int64_t>(std::ceil(kQuantiles[q] * static_cast<double>(count)));
    remaining[q] = std::clamp<std::int64_t>(rank, 1, count);
  }
  for (int shift = 56; shift >= 0; shift -= 8) {
    std::vector<std::int64_t> histogram(kQuantiles.size() * kBins, 0);
    for (const double value : values) {
      const std::uint64_t key = ordered_key(value);
      for (std::size_t q = 0; q < kQuantiles.size(); ++q) {
        if (shift == 56 || (key >> (shift + 8)) == prefix[q]) ++histogram[q * kBins + ((key >> shift) & 0xff)];
      }
    }
    world.all_reduce(histogram, {});
    for (std::size_t q = 0; q < kQuantiles.size(); ++q) {
      std::size_t bin = 0;
      while (remaining[q] > histogram[q * kBins + bin]) remaining[q] -= histogram[q * kBins + bin++];
      prefix[q] = prefix[q] << 8 | bin;
    }
  }
  std::array<double, kQuantiles.size()> result{};
  std::transform(prefix.begin(), prefix.end(), result.begin(), from_ordered_key);
  return result;
}

std::int64_t first_row_of(std::span<const double> values, std::span<const std::int64_t> rows, double maximum,
                          Communicator& world) {
  std::uint64_t best = 0;  // of ~row: the largest is the lowest row
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == maximum) best = std::max(best, ~static_cast<std::uint64_t>(rows[i]));
  }
  world.all_reduce({}, {&best, 1});
  return best == 0 ? -1 : static_cast<std::int64_t>(~best);
}

}  // namespace klmesh::eval
