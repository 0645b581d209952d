#include "engine/cuda/input_digest.hpp"

#include "core/cuda/cuda_check.hpp"
#include "core/finish_row.hpp"
#include "core/row_status.hpp"
#include "engine/cuda/partial_layout.hpp"

namespace klmesh::cuda {
namespace {

constexpr int kDigestThreads = 1024;  // one block digests a block of rows: many loads at a time, or it would last
constexpr int kCompareThreads = 256;

// Where the digests of a buffer lie. All chunks but the last have blocks of the same size.
struct DigestPlace {
  std::size_t first, block_stride, chunk_stride;  // bytes
  std::size_t last_first, last_block_stride;      // of the last chunk
  int last;

  DigestPlace(const ExchangePlan& plan, const RowChunks& chunks, int blocks) : last(chunks.count - 1) {
    const PartialLayout full(plan, chunks, 0, blocks), rest(plan, chunks, last, blocks);
    first = full.digest_at(0);
    block_stride = full.block_bytes();
    chunk_stride = static_cast<std::size_t>(blocks) * block_stride;
    last_first = rest.digest_at(0);
    last_block_stride = rest.block_bytes();
  }
  __device__ std::size_t at(int chunk, int block) const {
    const auto b = static_cast<std::size_t>(block);
    if (chunk == last) return last_first + b * last_block_stride;
    return first + static_cast<std::size_t>(chunk) * chunk_stride + b * block_stride;
  }
};

// The finaliser of splitmix64: every bit of x changes half of the result's.
__device__ std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

struct Inputs {
  const std::int64_t* targets;   // (rows) or null
  const std::uint8_t* mask;      // (rows) or null
  const std::int64_t* sequence;  // (rows) or null

  __device__ std::uint64_t digest(std::int64_t row) const {
    constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15ull;
    const bool counts = mask == nullptr || mask[row] != 0;
    std::uint64_t h = mixed(static_cast<std::uint64_t>(row + 1) * kStep + (counts ? 1 : 0));
    if (!counts) return h;
    if (targets != nullptr) h = mixed(h + static_cast<std::uint64_t>(targets[row]) * kStep);
    if (sequence != nullptr) h = mixed(h + static_cast<std::uint64_t>(sequence[row]) * kStep + 1);
    return h;
  }
};

// Blocks (x: block of rows, y: chunk). Rows' digests are added up, in any order.
__global__ void __launch_bounds__(kDigestThreads)
    digest_kernel(const Inputs inputs, const RowChunks chunks, std::int64_t rows, const DigestPlace place, std::byte* send) {
  __shared__ unsigned long long total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  const auto chunk = static_cast<int>(blockIdx.y), block = static_cast<int>(blockIdx.x);
  const std::int64_t of_block = block * chunks.block;
  const std::int64_t begin = of_block + chunk * chunks.rows;
  const std::int64_t end = min(rows, min(begin + chunks.rows, of_block + chunks.block));
  std::uint64_t sum = 0;
#pragma unroll 4
  for (std::int64_t row = begin + threadIdx.x; row < end; row += kDigestThreads) sum += inputs.digest(row);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (threadIdx.x % 32 == 0) atomicAdd(&total, static_cast<unsigned long long>(sum));
  __syncthreads();
  if (threadIdx.x == 0) *reinterpret_cast<std::uint64_t*>(send + place.at(chunk, block)) = total;
}

// A thread a finished row.
__global__ void __launch_bounds__(kCompareThreads)
    compare_kernel(const std::byte* received, const RowChunks chunks, int parts, RowRange finished,
                   const DigestPlace place, TokenStats* tokens) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kCompareThreads + threadIdx.x;
  if (i >= finished.end - finished.begin) return;
  const auto chunk = static_cast<int>(i / chunks.rows);
  const auto digest_of = [&](int part) {
    return *reinterpret_cast<const std::uint64_t*>(received + place.at(chunk, part));
  };
  const std::uint64_t first = digest_of(0);
  for (int part = 1; part < parts; ++part) {
    if (digest_of(part) == first) continue;
    TokenStats& token = tokens[finished.begin + i];
    token = finish_row({}, false);  // of a row without mass: every value is NaN
    token.flags = kPolicyHasMass | kReferenceHasMass | kTargetOutOfRange | kInputsDiffer;
    token.invalid_column = part;
    return;
  }
}

template <typename T>
const T* pointer(std::span<const T> span) {
  return span.empty() ? nullptr : span.data();
}

}  // namespace

void digest_inputs(const RowInputs& inputs, const ExchangePlan& plan, const RowChunks& chunks, std::span<std::byte> send,
                   StreamRef stream) {
  const int blocks = sent_blocks(plan);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(chunks.count));
  const Inputs all{pointer(inputs.targets), pointer(inputs.mask), pointer(inputs.sequence)};
  digest_kernel<<<grid, kDigestThreads, 0, native(stream)>>>(all, chunks, plan.rows, DigestPlace(plan, chunks, blocks),
                                                            send.data());
  check_launch("digest_inputs");
}

void compare_digests(std::span<const std::byte> received, const ExchangePlan& plan, const RowChunks& chunks,
                     std::span<TokenStats> tokens, StreamRef stream) {
  const std::int64_t rows = plan.finished.size();
  if (rows == 0) return;
  const auto blocks = static_cast<unsigned>((rows + kCompareThreads - 1) / kCompareThreads);
  compare_kernel<<<blocks, kCompareThreads, 0, native(stream)>>>(received.data(), chunks, plan.parts, plan.finished,
                                                                 DigestPlace(plan, chunks, plan.parts), tokens.data());
  check_launch("compare_digests");
}

}  // namespace klmesh::cuda
