// Times several pieces of work in turn, so that a ratio of two compares what met the same neighbours.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <vector>

namespace klmesh::bench {

/// Seconds that each piece took, one entry a round: the least of the round's repetitions, which a machine that others
/// use as well disturbs last. Pieces should take well under a scheduler's time slice.
template <std::size_t N>
std::vector<std::array<double, N>> interleaved(const std::array<std::function<void()>, N>& pieces, int rounds,
                                               int repetitions) {
  using Clock = std::chrono::steady_clock;
  std::vector<std::array<double, N>> seconds(static_cast<std::size_t>(rounds));
  for (auto& round : seconds) {
    round.fill(1e300);
    for (int k = 0; k < repetitions; ++k) {
      for (std::size_t i = 0; i < N; ++i) {
        const Clock::time_point start = Clock::now();
        pieces[i]();
        round[i] = std::min(round[i], std::chrono::duration<double>(Clock::now() - start).count());
      }
    }
  }
  return seconds;
}

/// The middle, least and largest of some numbers.
struct Spread {
  double median = 0, min = 0, max = 0;
};

inline Spread spread(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return {x[x.size() / 2], x.front(), x.back()};
}

}  // namespace klmesh::bench
