#include "core/cuda/gumbel.hpp"

#include "core/cuda/columns.cuh"
#include "core/cuda/cuda_check.hpp"
#include "klmesh/error.hpp"

namespace klmesh::cuda {
namespace {

constexpr int kThreads = 256;

struct Work {
  Side logits;
  std::int64_t shard_begin, columns;
  RandomStream random;
  std::int64_t first_token, token_step;
  GumbelMax* candidates;  // (rows)
};

// The best column of those that one thread has seen.
class Best {
 public:
  // NaN is no less than anything: written as "not less", it is never skipped.
  __device__ void offer(double logit, std::uint32_t high, std::uint32_t low, std::int64_t column) {
    if (static_cast<float>(logit) + gumbel_bound(high) < threshold_) return;
    if (!(logit < HUGE_VAL)) {
      best_ = {0.0, GumbelMax::invalid};
      threshold_ = HUGE_VALF;
      return;
    }
    const double score = logit + gumbel(uniform53(high, low));
    if (!(score > -HUGE_VAL)) return;
    best_ = merge(best_, {score, column});
    if (best_.column >= 0) threshold_ = gumbel_threshold(best_.score);
  }
  __device__ const GumbelMax& get() const { return best_; }

 private:
  GumbelMax best_{-HUGE_VAL, GumbelMax::none};
  float threshold_ = -HUGE_VALF;
};

__device__ double load_logit(const Side& side, const char* row, std::int64_t column) {
  return side.scale * load_element<double>(row, side.dtype, column);
}

// The winner of a block's threads, for thread 0.
__device__ GumbelMax block_best(GumbelMax mine) {
  __shared__ GumbelMax of_warps[kThreads / 32];
  const auto join = [](GumbelMax x, int width) {
    for (int step = width / 2; step > 0; step /= 2) {
      const GumbelMax other{__shfl_xor_sync(0xffffffffu, x.score, step), __shfl_xor_sync(0xffffffffu, x.column, step)};
      x = merge(x, other);
    }
    return x;
  };
  mine = join(mine, 32);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = mine;
  __syncthreads();
  if (threadIdx.x >= 32) return mine;
  return join(of_warps[threadIdx.x % (kThreads / 32)], kThreads / 32);
}

// A block has one row, a thread one pair of columns at a time: a block of random words serves both. Shards begin at
// multiples of 16 columns, so that no pair is cut.
__global__ void __launch_bounds__(kThreads) gumbel_argmax_kernel(const Work work) {
  const std::int64_t row = blockIdx.x;
  const char* logits = work.logits.row(row);
  const auto token = static_cast<std::uint64_t>(work.first_token + row * work.token_step);
  Best best;
  for (std::int64_t i = 2 * static_cast<std::int64_t>(threadIdx.x); i < work.columns; i += 2 * kThreads) {
    const std::int64_t column = work.shard_begin + i;
    const RandomWords words = random_words(work.random, token, static_cast<std::uint32_t>(column / 2));
    best.offer(load_logit(work.logits, logits, i), words.word[0], words.word[1], column);
    if (i + 1 < work.columns) {
      best.offer(load_logit(work.logits, logits, i + 1), words.word[2], words.word[3], column + 1);
    }
  }
  const GumbelMax winner = block_best(best.get());
  if (threadIdx.x == 0) work.candidates[row] = winner;
}

__global__ void __launch_bounds__(kThreads)
    merge_candidates_kernel(const GumbelMax* gathered, std::int64_t parts, std::int64_t rows, GumbelMax* merged) {
  const std::int64_t row = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x;
  if (row >= rows) return;
  GumbelMax best = gathered[row];
  for (std::int64_t part = 1; part < parts; ++part) best = merge(best, gathered[part * rows + row]);
  merged[row] = best;
}

}  // namespace

void gumbel_argmax(const LogitsView& logits, const VocabShard& shard, const RandomStream& random,
                   std::int64_t first_token, std::int64_t token_step, std::span<GumbelMax> candidates, StreamRef stream) {
  if (stream.is_host()) throw InvalidArgument("cuda::gumbel_argmax: a host stream");
  if (logits.rows == 0) return;
  const Work work{Side(logits), shard.begin, shard.columns(), random, first_token, token_step, candidates.data()};
  gumbel_argmax_kernel<<<static_cast<unsigned>(logits.rows), kThreads, 0, native(stream)>>>(work);
  check_launch("gumbel_argmax");
}

void merge_candidates(std::span<const GumbelMax> gathered, std::span<GumbelMax> merged, StreamRef stream) {
  if (stream.is_host()) throw InvalidArgument("cuda::merge_candidates: a host stream");
  if (merged.empty()) return;
  const auto rows = static_cast<std::int64_t>(merged.size());
  const auto blocks = static_cast<unsigned>((rows + kThreads - 1) / kThreads);
  merge_candidates_kernel<<<blocks, kThreads, 0, native(stream)>>>(
      gathered.data(), static_cast<std::int64_t>(gathered.size()) / rows, rows, merged.data());
  check_launch("merge_candidates");
}

}  // namespace klmesh::cuda
