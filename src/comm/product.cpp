#include "comm/product.hpp"

#include <vector>

#include "comm/checks.hpp"

namespace klmesh::comm {

// Rows first: a row's ranks are neighbours, so the concatenation of rows is the order of the ranks.
void ProductCommunicator::all_gather(std::span<const std::byte> send, std::span<std::byte> receive) {
  require_gather_sizes(send.size(), receive.size(), size());
  std::vector<std::byte> row(send.size() * static_cast<std::size_t>(vocab_.size()));
  vocab_.all_gather(send, row);
  batch_.all_gather(row, receive);
}

void ProductCommunicator::all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) {
  vocab_.all_reduce(sums, maxima);
  batch_.all_reduce(sums, maxima);
}

// Along the root's row, then down every column.
void ProductCommunicator::broadcast(std::span<std::byte> data, int root) {
  require_root(root, size());
  const int root_batch = root / vocab_.size();
  const int root_vocab = root % vocab_.size();
  if (batch_.rank() == root_batch) vocab_.broadcast(data, root_vocab);
  batch_.broadcast(data, root_batch);
}

// Two are enough: who leaves the second one has heard of every row, and each row had met before.
void ProductCommunicator::barrier() {
  vocab_.barrier();
  batch_.barrier();
}

}  // namespace klmesh::comm
