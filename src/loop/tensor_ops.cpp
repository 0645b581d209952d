#include "loop/tensor_ops.hpp"

#include "klmesh/error.hpp"

namespace klmesh::loop {

std::byte* TensorOps::allocate(std::string_view name, std::size_t bytes) {
  if (bytes == 0) return nullptr;
  std::byte* const memory = allocate_bytes(bytes);
  ledger_.allocated(name, static_cast<std::int64_t>(bytes));
  return memory;
}

void TensorOps::release(std::string_view name, std::byte* memory, std::size_t bytes) noexcept {
  if (memory == nullptr) return;
  release_bytes(memory, bytes);
  ledger_.released(name, static_cast<std::int64_t>(bytes));
}

void TensorOps::upload(CopyReason reason, std::span<const std::byte> from, std::span<std::byte> to) {
  if (from.size() != to.size()) throw InvalidArgument("upload: the sizes differ");
  if (from.empty()) return;
  upload_bytes(from, to);
  ledger_.uploaded(reason, static_cast<std::int64_t>(from.size()));
}

void TensorOps::download(CopyReason reason, std::span<const std::byte> from, std::span<std::byte> to) {
  if (from.size() != to.size()) throw InvalidArgument("download: the sizes differ");
  if (from.empty()) return;
  download_bytes(from, to);
  ledger_.downloaded(reason, static_cast<std::int64_t>(from.size()));
}

}  // namespace klmesh::loop
