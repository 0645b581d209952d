#include "eval/cuda/staged_chunk.hpp"

namespace klmesh::eval {
namespace {

void copy_to_device(std::span<const std::byte> host, DeviceMemory& memory, StreamRef stream) {
  memory.reserve(host.size());
  if (host.empty()) return;
  cuda::check(cudaMemcpyAsync(memory.data(), host.data(), host.size(), cudaMemcpyHostToDevice, cuda::native(stream)),
              "cudaMemcpyAsync");
}

template <typename T>
std::span<const T> on_device(std::span<const T> host, DeviceMemory& memory, StreamRef stream) {
  copy_to_device(std::as_bytes(host), memory, stream);
  return memory.at<const T>(0, host.size());
}

}  // namespace

void StagedChunk::Side::upload(const LogitsView& host, StreamRef stream) {
  const std::size_t bytes = static_cast<std::size_t>(host.rows * host.row_stride) * dtype_bytes(host.dtype);
  copy_to_device({static_cast<const std::byte*>(host.data), bytes}, memory, stream);
  view = host;
  view.data = memory.data();
}

void StagedChunk::upload(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                         StreamRef stream) {
  rows_ = static_cast<std::size_t>(policy.rows);
  policy_.upload(policy, stream);
  reference_.upload(reference, stream);
  inputs_ = {.targets = on_device(inputs.targets, targets_, stream),
             .mask = on_device(inputs.mask, mask_, stream),
             .sequence = on_device(inputs.sequence, sequence_, stream)};
  tokens_.reserve(rows_ * sizeof(TokenStats));
  results_.reserve(rows_ * sizeof(TokenStats));
}

void StagedChunk::download(StreamRef stream) {
  const std::span<TokenStats> from = tokens();
  if (from.empty()) return;
  cuda::check(
      cudaMemcpyAsync(results_.data(), from.data(), from.size_bytes(), cudaMemcpyDeviceToHost, cuda::native(stream)),
      "cudaMemcpyAsync");
}

}  // namespace klmesh::eval
