// Memory, exchanges and plain arrays of the host.
#include <algorithm>
#include <cstring>
#include <new>

#include "loop/host/host_ops.hpp"

namespace klmesh::loop {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

std::byte* HostOps::allocate_bytes(std::size_t bytes) {
  auto* const memory = static_cast<std::byte*>(::operator new(bytes, kAlignment));
  std::memset(memory, 0, bytes);
  return memory;
}

void HostOps::release_bytes(std::byte* memory, std::size_t bytes) noexcept { ::operator delete(memory, bytes, kAlignment); }

void HostOps::upload_bytes(std::span<const std::byte> from, std::span<std::byte> to) { std::ranges::copy(from, to.begin()); }

void HostOps::download_bytes(std::span<const std::byte> from, std::span<std::byte> to) {
  std::ranges::copy(from, to.begin());
}

void HostOps::copy(std::span<const std::byte> from, std::span<std::byte> to) { std::ranges::copy(from, to.begin()); }

void HostOps::clear(std::span<std::byte> memory) { std::ranges::fill(memory, std::byte{0}); }

void HostOps::all_reduce(Group group, std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) {
  Communicator& ranks = group == Group::vocab ? mesh().vocab() : group == Group::batch ? mesh().batch() : mesh().world();
  ranks.all_reduce(sums, maxima);
}

void HostOps::fill(std::span<double> values, double value) { std::ranges::fill(values, value); }

void HostOps::fill(std::span<std::int32_t> values, std::int32_t value) { std::ranges::fill(values, value); }

void HostOps::widen(std::span<const std::int32_t> from, std::span<std::int64_t> to) { std::ranges::copy(from, to.begin()); }

void HostOps::widen(std::span<const float> from, std::span<double> to) { std::ranges::copy(from, to.begin()); }

}  // namespace klmesh::loop
