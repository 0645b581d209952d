#include "core/cuda/finish.hpp"

#include "core/cuda/cuda_check.hpp"
#include "core/cuda/row_tile.cuh"
#include "core/finish_row.hpp"
#include "klmesh/error.hpp"

namespace klmesh::cuda {
namespace {

// Partials that a block folds at once, in shared memory: 64 of one row, or of as many rows as that makes.
constexpr int kThreads = kVocabSlices;

struct Rows {
  std::int64_t first, last;  // of the batch
  const std::uint8_t* mask;  // (rows) or null
  TokenStats* tokens;        // (rows)
  int parts;
  int per_block;

  __device__ std::int64_t of_block() const { return first + static_cast<std::int64_t>(blockIdx.x) * per_block; }
  __device__ bool counts(std::int64_t row) const { return mask == nullptr || mask[row] != 0; }
};

Rows rows_of(std::int64_t first, std::int64_t last, int parts, const RowInputs& inputs, std::span<TokenStats> tokens) {
  return {first, last, inputs.mask.empty() ? nullptr : inputs.mask.data(), tokens.data(), parts, kThreads / parts};
}

unsigned blocks_of(const Rows& rows) {
  return static_cast<unsigned>((rows.last - rows.first + rows.per_block - 1) / rows.per_block);
}

// Shared memory without constructors.
template <typename Partial>
struct FoldSpace {
  alignas(Partial) unsigned char bytes[kThreads * sizeof(Partial)];

  __device__ Partial* get() { return reinterpret_cast<Partial*>(bytes); }
};

// A row's partials of all parts, folded; `at(part, i)` is that of row i of the range. Called by a whole block;
// thread t has the result of the block's row t in folded[t * parts].
template <typename Partial, typename At>
__device__ void fold_rows(const Rows& rows, Partial* folded, At&& at) {
  const std::int64_t begin = rows.of_block() - rows.first;
  const int count = static_cast<int>(min(static_cast<std::int64_t>(rows.per_block), rows.last - rows.of_block()));
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < count * rows.parts) folded[thread] = at(thread % rows.parts, begin + thread / rows.parts);
  __syncthreads();
  fold_runs(folded, count, rows.parts);
}

template <typename Partial>
__device__ Partial partial_at(const std::byte* data) {
  return *reinterpret_cast<const Partial*>(data);
}

template <bool kExtended>
__global__ void __launch_bounds__(kThreads, 1)
    finish_kernel(const GatheredPartials gathered, const Rows rows, bool has_target, double renyi_alpha) {
  __shared__ FoldSpace<RowPartial> core_space;
  RowPartial* const core = core_space.get();
  fold_rows(rows, core, [&gathered](int part, std::int64_t i) {
    return partial_at<RowPartial>(gathered.core + gathered.core_at(part, i));
  });
  ExtendedPartial* extended = nullptr;
  if constexpr (kExtended) {
    __shared__ FoldSpace<ExtendedPartial> extended_space;
    extended = extended_space.get();
    fold_rows(rows, extended, [&gathered](int part, std::int64_t i) {
      return partial_at<ExtendedPartial>(gathered.extended + gathered.extended_at(part, i));
    });
  }
  const auto thread = static_cast<int>(threadIdx.x);
  const std::int64_t row = rows.of_block() + thread;
  if (thread >= rows.per_block || row >= rows.last) return;
  TokenStats token;
  if (rows.counts(row)) {
    token = finish_row(core[thread * rows.parts], has_target);
    if constexpr (kExtended) {
      if (gathered.extended_quantities) finish_extended_row(extended[thread * rows.parts], token);
      if (!isnan(renyi_alpha)) finish_renyi_row(extended[thread * rows.parts], renyi_alpha, token);
    } else if (!isnan(renyi_alpha)) {
      finish_renyi_row({}, renyi_alpha, token);  // of order 1: the partial is not looked at
    }
  }
  rows.tokens[row] = token;
}

__global__ void __launch_bounds__(kThreads)
    finish_second_stage_kernel(const SecondStagePartial* gathered, std::int64_t block, const Rows rows) {
  __shared__ FoldSpace<SecondStagePartial> space;
  SecondStagePartial* const folded = space.get();
  fold_rows(rows, folded, [=](int part, std::int64_t i) { return gathered[part * block + i]; });
  const auto thread = static_cast<int>(threadIdx.x);
  const std::int64_t row = rows.of_block() + thread;
  if (thread >= rows.per_block || row >= rows.last || !rows.counts(row)) return;
  TokenStats& token = rows.tokens[row];
  if (token.invalid_logits()) return;
  const SecondStagePartial& merged = folded[thread * rows.parts];
  token.jensen_shannon = merged.jensen_shannon;
  token.total_variation = merged.total_variation;
  token.normalizer.kl_policy_mixture = merged.kl_policy_mixture;
}

void expect_valid(int parts, StreamRef stream, const char* call) {
  if (stream.is_host()) throw InvalidArgument(std::string(call) + ": a host stream");
  if (parts < 1 || parts > kVocabSlices) throw InvalidArgument(std::string(call) + ": 1 to 64 parts");
}

}  // namespace

void finish(const GatheredPartials& gathered, const RowInputs& inputs, std::int64_t first_row, std::int64_t last_row,
            double renyi_alpha, std::span<TokenStats> tokens, StreamRef stream) {
  expect_valid(gathered.parts, stream, "cuda::finish");
  if (first_row >= last_row) return;
  const Rows rows = rows_of(first_row, last_row, gathered.parts, inputs, tokens);
  const auto kernel = gathered.extended != nullptr ? finish_kernel<true> : finish_kernel<false>;
  kernel<<<blocks_of(rows), kThreads, 0, native(stream)>>>(gathered, rows, !inputs.targets.empty(), renyi_alpha);
  check_launch("finish");
}

void finish_second_stage(std::span<const SecondStagePartial> gathered, int parts, const RowInputs& inputs,
                         std::int64_t first_row, std::int64_t last_row, std::span<TokenStats> tokens, StreamRef stream) {
  expect_valid(parts, stream, "cuda::finish_second_stage");
  if (first_row >= last_row) return;
  const Rows rows = rows_of(first_row, last_row, parts, inputs, tokens);
  finish_second_stage_kernel<<<blocks_of(rows), kThreads, 0, native(stream)>>>(
      gathered.data(), static_cast<std::int64_t>(gathered.size()) / parts, rows);
  check_launch("finish_second_stage");
}

}  // namespace klmesh::cuda
