// One row of Gumbel-max: vectorised noise and bound, logarithms for the few columns that may win.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "loop/host/gumbel_max.hpp"
#include "loop/random.hpp"
#include "loop/vector_clones.hpp"

namespace klmesh::loop {
namespace {

constexpr std::int64_t kBlock = 128;  // columns whose words are drawn together; two blocks of 64 counters
constexpr std::int64_t kGroup = 16;   // columns that one flag covers

/// flags[g] becomes non-zero if a column of group g may reach `threshold`, or holds NaN or +inf.
/// @param words the high words of the uniforms
KLMESH_VECTOR_CLONES void flag_groups(const float* logits, const std::uint32_t* words, float threshold,
                                      std::int32_t* flags) {
  for (std::int64_t g = 0; g < kBlock / kGroup; ++g) {
    std::int32_t any = 0;
    for (std::int64_t i = 0; i < kGroup; ++i) {
      const std::int64_t k = g * kGroup + i;
      const float bound = logits[k] + gumbel_bound(words[k]);
      // Written as "not below", so that NaN is flagged.
      any |= bound < threshold ? 0 : 1;
    }
    flags[g] = any;
  }
}

/// Words of the uniforms of kBlock columns, in column order.
struct NoiseWords {
  std::array<std::uint32_t, kBlock> high;
  std::array<std::uint32_t, kBlock> low;

  /// @param first_column even
  void draw(const RandomStream& stream, std::uint64_t token_index, std::int64_t first_column) {
    std::array<std::array<std::uint32_t, kBlock / 2>, 4> w;
    random_blocks(stream, token_index, static_cast<std::uint32_t>(first_column / 2),
                  {w[0], w[1], w[2], w[3]});
    for (std::size_t j = 0; j < kBlock / 2; ++j) {
      high[2 * j] = w[0][j];
      low[2 * j] = w[1][j];
      high[2 * j + 1] = w[2][j];
      low[2 * j + 1] = w[3][j];
    }
  }
};

}  // namespace

GumbelMax gumbel_argmax(std::span<const float> logits, const VocabShard& shard, const RandomStream& stream,
                        std::uint64_t token_index) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  GumbelMax best{-std::numeric_limits<double>::infinity(), GumbelMax::none};
  NoiseWords noise;
  std::array<float, kBlock> padded;
  std::array<std::int32_t, kBlock / kGroup> flags;
  const auto columns = static_cast<std::int64_t>(logits.size());
  // Shards begin at multiples of 16 columns: pairs of columns are never cut.
  for (std::int64_t first = 0; first < columns; first += kBlock) {
    noise.draw(stream, token_index, shard.begin + first);
    const std::int64_t count = std::min(kBlock, columns - first);
    const float* block = logits.data() + first;
    if (count < kBlock) {
      std::copy_n(block, count, padded.begin());
      std::fill(padded.begin() + count, padded.end(), -kInfinity);
      block = padded.data();
    }
    flag_groups(block, noise.high.data(), gumbel_threshold(best.score), flags.data());
    for (std::int64_t g = 0; g < kBlock / kGroup; ++g) {
      if (flags[g] == 0) continue;
      for (std::int64_t k = g * kGroup; k < (g + 1) * kGroup; ++k) {
        const float logit = block[k];
        if (!(logit < kInfinity)) return {0.0, GumbelMax::invalid};
        const double score = static_cast<double>(logit) + gumbel(uniform53(noise.high[k], noise.low[k]));
        if (score > best.score) best = {score, shard.begin + first + k};
      }
    }
  }
  return best;
}

void merge_candidates(std::span<GumbelMax> candidates, Communicator& vocab) {
  const std::size_t rows = candidates.size();
  std::vector<GumbelMax> all(rows * static_cast<std::size_t>(vocab.size()));
  vocab.all_gather(std::as_bytes(candidates), std::as_writable_bytes(std::span(all)));
  for (std::size_t row = 0; row < rows; ++row) {
    GumbelMax best{-std::numeric_limits<double>::infinity(), GumbelMax::none};
    for (std::size_t i = row; i < all.size(); i += rows) best = merge(best, all[i]);
    candidates[row] = best;
  }
}

}  // namespace klmesh::loop
