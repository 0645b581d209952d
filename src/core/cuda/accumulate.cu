#include "core/cuda/accumulate.hpp"

#include <algorithm>

#include "core/cuda/cuda_check.hpp"
#include "core/ordered_key.hpp"
#include "core/quantity_value.hpp"
#include "core/row_status.hpp"
#include "klmesh/error.hpp"

namespace klmesh::cuda {
namespace {

constexpr int kThreads = 256;
static_assert(kValueLimbs + kProductLimbs <= kThreads);  // a thread for each limb
// Rows of a block: enough for its limbs to go to global memory seldom.
constexpr std::int64_t kRowsPerBlock = 8 * kThreads;
constexpr unsigned long long kNoRow = ~0ull;

struct Work {
  const TokenStats* tokens;
  const std::uint8_t* mask;      // (rows) or null
  const std::int64_t* targets;   // (rows) or null
  const std::int64_t* sequence;  // (rows) or null
  std::int64_t first_row, last_row;
  SumLayout layout;
  std::int64_t* sums;
  std::uint64_t* maxima;
  InvalidRecord* invalid;

  __device__ std::int64_t sequence_of(std::int64_t row) const { return sequence == nullptr ? -1 : sequence[row]; }
  __device__ RowStatus status(std::int64_t row) const {
    return row_status(tokens[row], mask == nullptr || mask[row] != 0, sequence != nullptr, sequence_of(row),
                      layout.sequences);
  }
  __device__ InvalidRow record(std::int64_t row) const {
    return invalid_row(tokens[row], status(row), row, targets == nullptr ? -1 : targets[row], sequence_of(row));
  }
};

__device__ void add_word(std::int64_t* word, std::int64_t by) {
  if (by != 0) atomicAdd(reinterpret_cast<unsigned long long*>(word), static_cast<unsigned long long>(by));
}

// Masked, invalid and counted rows, the tokens of each sequence, and the first invalid row.
__global__ void __launch_bounds__(kThreads) count_rows_kernel(const Work work) {
  std::int64_t counts[words::kStepCounts] = {};  // of the block, the same in every thread
  const std::int64_t begin = work.first_row + blockIdx.x * kRowsPerBlock;
  const std::int64_t end = min(work.last_row, begin + kRowsPerBlock);
  for (std::int64_t base = begin; base < end; base += kThreads) {
    const std::int64_t row = base + threadIdx.x;
    const bool here = row < end;
    const RowStatus status = here ? work.status(row) : RowStatus::masked;
    const bool invalid = status == RowStatus::invalid || status == RowStatus::invalid_sequence;
    const bool inputs_alone = invalid && work.record(row).inputs_alone();
    counts[words::kTokens] += __syncthreads_count(status == RowStatus::counted);
    counts[words::kMasked] += __syncthreads_count(here && status == RowStatus::masked);
    counts[words::kInvalid] += __syncthreads_count(invalid);
    counts[words::kInvalidInputs] += __syncthreads_count(inputs_alone);
    if (status == RowStatus::counted && work.sequence != nullptr) {
      add_word(work.sums + work.layout.sequence_tokens(work.sequence[row]), 1);
    }
    if (invalid) atomicMin(&work.invalid->row_of_any, static_cast<unsigned long long>(row));
    if (inputs_alone) atomicMin(&work.invalid->row_of_inputs, static_cast<unsigned long long>(row));
  }
  if (threadIdx.x == 0) {
    for (std::size_t i = 0; i < words::kStepCounts; ++i) add_word(work.sums + i, counts[i]);
  }
}

// Keeps the first invalid row of all calls, one whose inputs alone are wrong before others. One thread.
__global__ void keep_invalid_kernel(const Work work) {
  InvalidRecord& record = *work.invalid;
  const bool have_any = record.first.row >= 0;
  const bool have_inputs = have_any && record.first.inputs_alone();
  if (record.row_of_inputs != kNoRow && !have_inputs) {
    record.first = work.record(static_cast<std::int64_t>(record.row_of_inputs));
  } else if (record.row_of_any != kNoRow && !have_any) {
    record.first = work.record(static_cast<std::int64_t>(record.row_of_any));
  }
  record.row_of_any = record.row_of_inputs = kNoRow;
}

// The digits of kThreads tokens, for the threads that each own a limb.
struct SharedDigits {
  ValueDigits value[kThreads];
  ProductDigits square[kThreads];
};

template <int kDigits>
__device__ std::int64_t sum_of_limb(const LimbDigits<kDigits>* digits, int limb, int count) {
  std::int64_t sum = 0;
  for (int i = 0; i < count; ++i) {
    const int at = limb - digits[i].first;
    if (at >= 0 && at < kDigits) sum += digits[i].digit[at];
  }
  return sum;
}

__device__ unsigned long long warp_max(unsigned long long x) {
  for (int step = 16; step > 0; step /= 2) {
    const unsigned long long other = __shfl_xor_sync(0xffffffffu, x, step);
    x = x > other ? x : other;
  }
  return x;
}

// One token's share of the sum of its sequence.
__device__ void add_to_sequence(const Work& work, int q, std::int64_t sequence, const ValueDigits& digits) {
  std::int64_t* words_of = work.sums + work.layout.quantity_sequence(q, sequence);
  add_word(words_of, 1);
  for (int i = 0; i < 3; ++i) add_word(words_of + 1 + digits.first + i, digits.digit[i]);
}

// Blocks (x: rows, y: quantity). Every thread cuts a token's value into digits; then every thread adds up, over all
// tokens of the round, the limb that it owns. Integers: any order is right.
__global__ void __launch_bounds__(kThreads) add_quantity_kernel(const Work work) {
  __shared__ SharedDigits shared;
  const auto q = static_cast<int>(blockIdx.y);
  const auto quantity = static_cast<Quantity>(q);
  const auto thread = static_cast<int>(threadIdx.x);
  std::int64_t* const sums = work.sums + work.layout.quantity(q);
  std::int64_t counts[words::kAdditions] = {};  // of the block, the same in every thread
  unsigned long long largest = 0, negated_smallest = 0;
  std::int64_t limb = 0;  // the one this thread owns
  const std::int64_t begin = work.first_row + blockIdx.x * kRowsPerBlock;
  const std::int64_t end = min(work.last_row, begin + kRowsPerBlock);
  for (std::int64_t base = begin; base < end; base += kThreads) {
    const std::int64_t row = base + thread;
    const bool exists =
        row < end && work.status(row) == RowStatus::counted && quantity_exists(work.tokens[row], quantity);
    const double value = exists ? quantity_value(work.tokens[row], quantity) : 0.0;
    const bool number = exists && !isnan(value);
    const bool finite = number && !isinf(value);
    counts[words::kFinite] += __syncthreads_count(finite);
    counts[words::kPositiveInfinite] += __syncthreads_count(number && !finite && value > 0.0);
    counts[words::kNegativeInfinite] += __syncthreads_count(number && !finite && value < 0.0);
    counts[words::kUndefined] += __syncthreads_count(exists && !number);
    counts[words::kNegative] += __syncthreads_count(number && value < 0.0);
    if (number) {
      largest = max(largest, static_cast<unsigned long long>(ordered_key(value)));
      negated_smallest = max(negated_smallest, static_cast<unsigned long long>(ordered_key(-value)));
    }
    shared.value[thread] = value_digits(finite ? value : 0.0);
    shared.square[thread] = finite ? product_digits(value, value) : ProductDigits{};
    if (finite && work.sequence != nullptr) add_to_sequence(work, q, work.sequence[row], shared.value[thread]);
    __syncthreads();
    const auto count = static_cast<int>(min(static_cast<std::int64_t>(kThreads), end - base));
    if (thread < kValueLimbs) {
      limb += sum_of_limb(shared.value, thread, count);
    } else if (thread < kValueLimbs + kProductLimbs) {
      limb += sum_of_limb(shared.square, thread - kValueLimbs, count);
    }
    __syncthreads();  // the digits are read until here
  }
  if (thread < kValueLimbs + kProductLimbs) add_word(sums + words::kSum + thread, limb);
  if (thread == 0) {
    for (std::size_t i = 0; i < words::kAdditions; ++i) add_word(sums + i, counts[i]);
  }
  largest = warp_max(largest);
  negated_smallest = warp_max(negated_smallest);
  if (thread % 32 == 0 && largest != 0) {
    auto* maxima = reinterpret_cast<unsigned long long*>(work.maxima) + words::kMaximaPerQuantity * blockIdx.y;
    atomicMax(maxima, largest);
    atomicMax(maxima + 1, negated_smallest);
  }
}

// One thread for each number: a quantity's sum, its squares, its sum in each sequence.
__global__ void carry_kernel(const SumLayout layout, std::int64_t* sums) {
  const std::int64_t numbers = 2 + layout.sequences;
  const std::int64_t i = blockIdx.x * static_cast<std::int64_t>(blockDim.x) + threadIdx.x;
  if (i >= numbers * layout.quantities) return;
  const auto q = static_cast<int>(i / numbers);
  const std::int64_t number = i % numbers;
  if (number == 0) {
    sums[layout.quantity(q) + words::kAdditions] = 1;
    carry_limbs(sums + layout.quantity(q) + words::kSum, kValueLimbs);
  } else if (number == 1) {
    carry_limbs(sums + layout.quantity(q) + words::kSquares, kProductLimbs);
  } else {
    carry_limbs(sums + layout.quantity_sequence(q, number - 2) + 1, kValueLimbs);
  }
}

__global__ void clear_invalid_kernel(InvalidRecord* record) {
  *record = {{-1, -1, 0, -1}, kNoRow, kNoRow};
}

void expect_device(StreamRef stream, const char* call) {
  if (stream.is_host()) throw InvalidArgument(std::string(call) + ": a host stream");
}

template <typename T>
const T* pointer(std::span<const T> span) {
  return span.empty() ? nullptr : span.data();
}

}  // namespace

void clear(const DeviceSums& sums, StreamRef stream) {
  expect_device(stream, "cuda::clear");
  check(cudaMemsetAsync(sums.sums.data(), 0, sums.sums.size_bytes(), native(stream)), "cudaMemsetAsync");
  check(cudaMemsetAsync(sums.maxima.data(), 0, sums.maxima.size_bytes(), native(stream)), "cudaMemsetAsync");
  clear_invalid_kernel<<<1, 1, 0, native(stream)>>>(sums.invalid);
  check_launch("clear_invalid");
}

void accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, std::int64_t first_row,
                std::int64_t last_row, const DeviceSums& sums, StreamRef stream) {
  expect_device(stream, "cuda::accumulate");
  if (first_row >= last_row) return;
  const Work work{tokens.data(), pointer(inputs.mask), pointer(inputs.targets), pointer(inputs.sequence), first_row,
                  last_row, sums.layout, sums.sums.data(), sums.maxima.data(), sums.invalid};
  const auto blocks = static_cast<unsigned>((last_row - first_row + kRowsPerBlock - 1) / kRowsPerBlock);
  count_rows_kernel<<<blocks, kThreads, 0, native(stream)>>>(work);
  check_launch("count_rows");
  keep_invalid_kernel<<<1, 1, 0, native(stream)>>>(work);
  check_launch("keep_invalid");
  const dim3 grid(blocks, static_cast<unsigned>(sums.layout.quantities));
  add_quantity_kernel<<<grid, kThreads, 0, native(stream)>>>(work);
  check_launch("add_quantity");
}

void carry(const DeviceSums& sums, StreamRef stream) {
  expect_device(stream, "cuda::carry");
  const std::int64_t numbers = (2 + sums.layout.sequences) * sums.layout.quantities;
  const auto blocks = static_cast<unsigned>((numbers + kThreads - 1) / kThreads);
  if (blocks == 0) return;
  carry_kernel<<<blocks, kThreads, 0, native(stream)>>>(sums.layout, sums.sums.data());
  check_launch("carry");
}

}  // namespace klmesh::cuda
