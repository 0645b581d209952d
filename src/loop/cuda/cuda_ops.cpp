// Memory, copies, exchanges and the operations that are one kernel. The model's layers: cuda_layers.cpp.
#include "loop/cuda/cuda_ops.hpp"

#include <utility>

#include "core/cuda/cuda_check.hpp"
#include "core/cuda/gumbel.hpp"
#include "klmesh/cuda.hpp"
#include "klmesh/error.hpp"
#include "loop/cuda/adam.hpp"
#include "loop/cuda/arrays.hpp"
#include "loop/cuda/fixed_point.hpp"
#include "loop/cuda/sampling.hpp"
#include "loop/cuda/sequence_weights.hpp"
#include "loop/policy_gradient.hpp"

namespace klmesh::loop::cuda {

using klmesh::cuda::check;
using klmesh::cuda::native;

CudaOps::CudaOps(Mesh& mesh, DeviceMesh devices)
    : TensorOps(mesh),
      devices_(std::move(devices)),
      workspace_(*this, "cuBLAS workspace", Gemm::kWorkspaceBytes),
      gemm_(workspace_.span(), stream_.ref()),
      scratch_(*this, "scratch", 0),
      largest_(*this, "scratch", 1),
      flags_(*this, "scratch", PolicyGradient::kBounds) {}

Engine CudaOps::make_engine(std::int64_t vocab_size) { return make_device_engine(mesh(), devices_, vocab_size); }

// --- Memory.

std::byte* CudaOps::allocate_bytes(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "cudaMalloc");
  const std::span<std::byte> all(static_cast<std::byte*>(memory), bytes);
  try {
    clear(all);
  } catch (...) {
    release_bytes(all.data(), bytes);
    throw;
  }
  return all.data();
}

// Waits for the device, as freeing does, and has no deadline. So nothing is freed behind an exchange that has not ended:
// buffers that grow wait() first, phases end behind the wait for their last step, and what failed has aborted all groups.
void CudaOps::release_bytes(std::byte* memory, std::size_t) noexcept {
  static_cast<void>(cudaFree(memory));  // a destructor has nobody to tell
}

void CudaOps::upload_bytes(std::span<const std::byte> from, std::span<std::byte> to) {
  while (!from.empty()) {
    const std::size_t bytes = uploads_.enqueue(from, to, stream());
    if (bytes == 0) wait();
    from = from.subspan(bytes);
    to = to.subspan(bytes);
  }
}

// Waits first: a copy to pageable memory would wait itself, for an exchange that never ends too.
void CudaOps::download_bytes(std::span<const std::byte> from, std::span<std::byte> to) {
  wait();
  check(cudaMemcpyAsync(to.data(), from.data(), from.size(), cudaMemcpyDeviceToHost, native(stream())),
        "cudaMemcpyAsync");
  check(cudaStreamSynchronize(native(stream())), "cudaStreamSynchronize");
}

void CudaOps::copy(std::span<const std::byte> from, std::span<std::byte> to) {
  if (from.empty()) return;
  check(cudaMemcpyAsync(to.data(), from.data(), from.size(), cudaMemcpyDeviceToDevice, native(stream())),
        "cudaMemcpyAsync");
}

void CudaOps::clear(std::span<std::byte> memory) {
  if (memory.empty()) return;
  check(cudaMemsetAsync(memory.data(), 0, memory.size(), native(stream())), "cudaMemsetAsync");
}

void CudaOps::wait() {
  devices_.wait(stream());
  uploads_.waited();
}

std::span<float> CudaOps::scratch(std::int64_t size) {
  scratch_.resize(size);
  return scratch_.span();
}

// --- Exchanges.

// A group that fails leaves the exchanges of the others on the stream, and unwinding frees memory, which waits for them.
template <typename Exchange>
void CudaOps::exchange(Exchange&& enqueue) {
  try {
    enqueue();
  } catch (const CommunicationError&) {
    devices_.abort();
    throw;
  }
}

DeviceCommunicator& CudaOps::group_of(Group group) noexcept {
  if (group == Group::vocab) return devices_.vocab();
  return group == Group::batch ? devices_.batch() : devices_.world();
}

void CudaOps::all_reduce(Group group, std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) {
  exchange([&] { group_of(group).all_reduce(sums, maxima, stream()); });
}

void CudaOps::agree_on_validity(std::span<std::int64_t> bounds) {
  saturate(bounds, stream());
  if (devices_.vocab().size() == 1) return;
  flags_.resize(static_cast<std::int64_t>(bounds.size()));
  flag_invalid(bounds, flags_.span(), stream());
  all_reduce(Group::vocab, {}, flags_.span());
  invalidate_flagged(flags_.span(), bounds, stream());
}

// --- Arrays, the optimiser, sampling, phase 3.

void CudaOps::fill(std::span<double> values, double value) { cuda::fill(values, value, stream()); }

void CudaOps::fill(std::span<std::int32_t> values, std::int32_t value) { cuda::fill(values, value, stream()); }

void CudaOps::widen(std::span<const std::int32_t> from, std::span<std::int64_t> to) { cuda::widen(from, to, stream()); }

void CudaOps::widen(std::span<const float> from, std::span<double> to) { cuda::widen(from, to, stream()); }

void CudaOps::adam_step(std::span<float> parameters, std::span<const std::int64_t> gradient, std::span<float> first,
                        std::span<float> second, const AdamCoefficients& coefficients) {
  cuda::adam_step(parameters, gradient, first, second, coefficients, stream());
}

void CudaOps::contexts_at(const SamplePosition& at, std::span<const std::int32_t> tokens,
                          std::span<std::int32_t> contexts, std::span<std::int32_t> position_contexts) {
  fill_contexts(at, tokens, contexts, position_contexts, stream());
}

// Ended sequences are drawn for too, and not written.
void CudaOps::draw_tokens(const VocabShard& shard, const RandomStream& random, const SamplePosition& at,
                          Matrix<const float> logits, const SampleState& state) {
  const auto rows = static_cast<std::size_t>(at.sequences);
  const std::span<GumbelMax> winners = state.candidates.first(rows);
  const LogitsView view{logits.data, DType::f32, at.sequences, shard.columns(), logits.stride};
  klmesh::cuda::gumbel_argmax(view, shard, random, at.first_sequence * at.length + at.position, at.length, winners,
                              stream());
  if (shard.parts > 1) {
    const std::span<GumbelMax> gathered = state.candidates.subspan(rows, rows * static_cast<std::size_t>(shard.parts));
    exchange([&] {
      devices_.vocab().all_gather(std::as_bytes(winners), std::as_writable_bytes(gathered), stream());
    });
    klmesh::cuda::merge_candidates(gathered, winners, stream());
  }
  write_tokens(at, winners, state, stream());
}

void CudaOps::sequence_terms(Penalty kind, const SequenceShare& share, const WordScores& words,
                             std::span<const std::int32_t> tokens, std::span<const std::uint8_t> mask,
                             std::span<const TokenStats> stats, const SequenceTerms& terms) {
  cuda::sequence_terms(kind, share, words, tokens, mask, stats, terms, stream());
}

void CudaOps::policy_weights(Penalty kind, double beta, const SequenceShare& share, const SequenceTerms& terms,
                             std::span<const TokenStats> stats, std::span<double> returns, std::span<double> logp,
                             std::span<double> kl) {
  cuda::policy_weights(kind, beta, share, terms, stats, returns, logp, kl, stream());
}

}  // namespace klmesh::loop::cuda
