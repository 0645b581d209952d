// Forward pass of the policy: vocabulary-parallel embeddings, replicated hidden layer, sharded output head.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/host/gemm.hpp"
#include "loop/host/host_ops.hpp"

namespace klmesh::loop {
namespace {

/// The blocks of kRowBlock padded rows that hold at least one real row.
template <class Body>
void for_each_block(const RowFrame& frame, Body&& body) {
  if (frame.rows == 0) return;  // an empty part of the batch may begin inside of a block
  const std::int64_t end = frame.lead + frame.rows;
  for (std::int64_t row = frame.lead / kRowBlock * kRowBlock; row < end; row += kRowBlock) body(row);
}

void add_bias(Matrix<float> block, const float* bias) {
  for (std::int64_t r = 0; r < block.rows; ++r) {
    float* row = block.data + r * block.stride;
    for (std::int64_t c = 0; c < block.columns; ++c) row[c] += bias[c];
  }
}

void require_words(std::span<const std::int32_t> contexts, std::int64_t vocab_size) {
  for (const std::int32_t word : contexts) {
    if (word >= 0 && word < vocab_size) continue;
    throw InvalidArgument(fmt::format("forward: word {} is outside the vocabulary of {}", word, vocab_size));
  }
}

/// What all columns of the head share.
struct HeadInputs {
  Matrix<const float> head, bias, hidden;
  RowFrame frame;
  Matrix<float> logits;
};

/// Columns first .. first + count - 1 of the head's memory, for all rows.
void compute_columns(const HeadInputs& in, std::int64_t first, std::int64_t count, std::vector<float>& scratch) {
  if (count == 0) return;
  const auto head = in.head.row_block(first, count);
  for_each_block(in.frame, [&](std::int64_t block) {
    const std::int64_t begin = std::max<std::int64_t>(block - in.frame.lead, 0);
    const std::int64_t end = std::min(block + kRowBlock - in.frame.lead, in.frame.rows);
    const auto target = in.logits.row_block(begin, end - begin).column_block(first, count);
    if (end - begin == kRowBlock) {
      multiply(in.hidden.row_block(block, kRowBlock), Transpose::no, head, Transpose::yes, target);
    } else {
      // The same shape as everywhere, so the same bits; the rows that exist are copied out.
      scratch.resize(static_cast<std::size_t>(kRowBlock * count));
      const Matrix<float> whole{scratch.data(), kRowBlock, count, count};
      multiply(in.hidden.row_block(block, kRowBlock), Transpose::no, head, Transpose::yes, whole);
      for (std::int64_t r = begin; r < end; ++r) {
        std::copy_n(whole.data + (r + in.frame.lead - block) * count, count,
                    in.logits.data + r * in.logits.stride + first);
      }
    }
    add_bias(target, in.bias.data + first);
  });
}

}  // namespace

RowFrame HostOps::frame(std::int64_t first_row, std::int64_t rows) const noexcept {
  const std::int64_t lead = first_row % kRowTile;
  return {rows, lead, rows == 0 ? 0 : (lead + rows + kRowTile - 1) / kRowTile * kRowTile};
}

void HostOps::look_up(const VocabShard& shard, Matrix<const float> embeddings, std::span<const std::int32_t> contexts,
                      const RowFrame& frame, std::span<float> inputs) {
  require_words(contexts, shard.vocab_size);
  std::ranges::fill(inputs, 0.0f);
  if (frame.rows == 0) return;
  const std::int64_t width = embeddings.columns;
  const auto words = static_cast<std::int64_t>(contexts.size());
  float* const real = inputs.data() + frame.lead * (words / frame.rows) * width;
  for (std::int64_t i = 0; i < words; ++i) {
    const std::int32_t word = contexts[static_cast<std::size_t>(i)];
    if (!shard.contains(word)) continue;
    std::copy_n(embeddings.data + (word - shard.begin) * width, width, real + i * width);
  }
  if (mesh().vocab().size() == 1) return;
  // One rank of the group holds the bits of each float and the others all-zero bits, so an integer sum of
  // words of two floats is an exact exchange. (No carry can leave a half: one addend of each half is the only
  // one not 0.)
  const auto bytes = static_cast<std::size_t>(words * width) * sizeof(float);
  std::vector<std::int64_t> packed((bytes + 7) / 8);
  std::memcpy(packed.data(), real, bytes);
  mesh().vocab().all_reduce(packed, {});
  std::memcpy(real, packed.data(), bytes);
}

void HostOps::hidden_layer(Matrix<const float> weights, Matrix<const float> bias, std::span<const float> inputs,
                           const RowFrame& frame, std::span<float> hidden) {
  const Matrix<const float> from{inputs.data(), frame.padded, weights.rows, weights.rows};
  const Matrix<float> to{hidden.data(), frame.padded, weights.columns, weights.columns};
  std::ranges::fill(hidden, 0.0f);
  for_each_block(frame, [&](std::int64_t first) {
    multiply(from.row_block(first, kRowBlock), Transpose::no, weights, Transpose::no, to.row_block(first, kRowBlock));
  });
  // Real rows only: padding stays 0, also where the bias is not.
  const auto real = to.row_block(frame.lead, frame.rows);
  add_bias(real, bias.data);
  const std::int64_t count = real.rows * real.columns;
  for (std::int64_t i = 0; i < count; ++i) real.data[i] = std::tanh(real.data[i]);
}

void HostOps::head_layer(const VocabShard& shard, Matrix<const float> head, Matrix<const float> bias,
                         std::span<const float> hidden, const RowFrame& frame, std::span<float> logits) {
  const HeadInputs in{head, bias, {hidden.data(), frame.padded, head.columns, head.columns}, frame,
                      {logits.data(), frame.rows, head.rows, head.rows}};
  std::vector<float> scratch;
  // Slices outside, rows inside: a slice of the head stays in the cache while all rows use it.
  for (int slice = shard.first_slice; slice < shard.last_slice; ++slice) {
    const std::int64_t first = slice_begin(shard.vocab_size, slice) - shard.begin;
    const std::int64_t end = slice_begin(shard.vocab_size, slice + 1) - shard.begin;
    compute_columns(in, first, end - first, scratch);
  }
  compute_columns(in, shard.columns(), head.rows - shard.columns(), scratch);
}

}  // namespace klmesh::loop
