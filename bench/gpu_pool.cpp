#include "gpu_pool.hpp"

#include <algorithm>
#include <cstring>

#include "synthetic_logits.hpp"

namespace klmesh::bench {
namespace {

constexpr std::int64_t kDistinctRows = 64, kHostRows = 8;
// Of both sides: several times what the caches of any GPU hold.
constexpr std::int64_t kPoolBytes = std::int64_t{1} << 30;

// Doubles what is there until the memory is full.
void fill(const DeviceMemory& memory, const LogitsView& rows) {
  const std::size_t bytes = memory.bytes();
  std::size_t done = std::min(bytes, static_cast<std::size_t>(rows.rows * rows.columns) * dtype_bytes(rows.dtype));
  cuda::check(cudaMemcpy(memory.data(), rows.data, done, cudaMemcpyHostToDevice), "cudaMemcpy");
  while (done < bytes) {
    const std::size_t more = std::min(done, bytes - done);
    cuda::check(cudaMemcpy(memory.data() + done, memory.data(), more, cudaMemcpyDeviceToDevice), "cudaMemcpy");
    done += more;
  }
  cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

std::vector<std::byte> first_rows(const LogitsView& view) {
  const auto* data = static_cast<const std::byte*>(view.data);
  return {data, data + static_cast<std::size_t>(std::min(kHostRows, view.rows) * view.columns) * dtype_bytes(view.dtype)};
}

}  // namespace

GpuPool::GpuPool(DType dtype, double noise, std::int64_t vocab_size, std::int64_t rows)
    : dtype_(dtype), vocab_size_(vocab_size) {
  const auto row_bytes = vocab_size * static_cast<std::int64_t>(dtype_bytes(dtype));
  // Small calls are shown not to be served by a cache; the tests' tiny vocabularies need no such proof.
  const std::int64_t spare = vocab_size < 10000 ? kDistinctRows : kPoolBytes / 2 / row_bytes;
  rows_ = std::max(2 * kDistinctRows, rows + std::min(spare, std::int64_t{1} << 16));
  const SyntheticLogits logits(dtype, noise, 0, kDistinctRows, 0, vocab_size);
  policy_.reserve(static_cast<std::size_t>(rows_ * row_bytes));
  reference_.reserve(static_cast<std::size_t>(rows_ * row_bytes));
  fill(policy_, logits.policy());
  fill(reference_, logits.reference());
  host_policy_ = first_rows(logits.policy());
  host_reference_ = first_rows(logits.reference());
}

LogitsView GpuPool::view(const DeviceMemory& side, std::int64_t first, std::int64_t rows) const {
  const std::size_t skip = static_cast<std::size_t>(first * vocab_size_) * dtype_bytes(dtype_);
  return {side.data() + skip, dtype_, rows, vocab_size_, vocab_size_};
}

GpuPool::Pair GpuPool::next(std::int64_t rows) {
  // Multiples of the distinct rows: the same values again.
  if (next_ + rows > rows_) next_ = 0;
  const std::int64_t first = next_;
  next_ += (rows + kDistinctRows - 1) / kDistinctRows * kDistinctRows;
  return {view(policy_, first, rows), view(reference_, first, rows)};
}

GpuPool::Pair GpuPool::host_rows(std::int64_t rows) const {
  rows = std::min(rows, kHostRows);
  return {{host_policy_.data(), dtype_, rows, vocab_size_, vocab_size_},
          {host_reference_.data(), dtype_, rows, vocab_size_, vocab_size_}};
}

}  // namespace klmesh::bench
