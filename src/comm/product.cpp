#include "comm/product.hpp"

#include <algorithm>
#include <vector>

#include "comm/checks.hpp"

namespace klmesh::comm {
namespace {

/// (rows, columns) equal blocks to (columns, rows).
void transpose_blocks(std::span<const std::byte> from, int rows, int columns, std::span<std::byte> to) {
  const auto m = static_cast<std::size_t>(rows);
  const auto n = static_cast<std::size_t>(columns);
  const std::size_t bytes = from.size() / (m * n);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < n; ++j)
      std::ranges::copy(from.subspan((i * n + j) * bytes, bytes), to.subspan((j * m + i) * bytes).begin());
}

}  // namespace

// Rows first: a row's ranks are neighbours, so the concatenation of rows is the order of the ranks.
void ProductCommunicator::all_gather(std::span<const std::byte> send, std::span<std::byte> receive) {
  require_gather_sizes(send.size(), receive.size(), size());
  std::vector<std::byte> row(send.size() * static_cast<std::size_t>(vocab_.size()));
  vocab_.all_gather(send, row);
  batch_.all_gather(row, receive);
}

// Along the row to the column of the receiver, then down that column: each block moves twice.
void ProductCommunicator::all_to_all(std::span<const std::byte> send, std::span<std::byte> receive) {
  require_exchange_sizes(send.size(), receive.size(), size());
  const int vocab = vocab_.size();
  const int batch = batch_.size();
  std::vector<std::byte> ordered(send.size());
  std::vector<std::byte> row(send.size());
  transpose_blocks(send, batch, vocab, ordered);  // (vocab, batch) of the receiver
  vocab_.all_to_all(ordered, row);                // (vocab of the sender, batch of the receiver)
  transpose_blocks(row, vocab, batch, ordered);   // (batch of the receiver, vocab of the sender)
  batch_.all_to_all(ordered, receive);            // (batch, vocab) of the sender
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
