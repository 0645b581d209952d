// Backward pass of the policy. Every sum over units, ranks or words is a sum of integers.
#include <algorithm>
#include <vector>

#include "loop/host/fixed_point_sums.hpp"
#include "loop/host/gemm.hpp"
#include "loop/host/host_ops.hpp"

namespace klmesh::loop {
namespace {

/// A tile of `source` (real rows, columns): itself where all rows exist, else a copy in `scratch` with rows
/// of 0.
Matrix<const float> whole_tile(const RowFrame& frame, std::int64_t tile, Matrix<const float> source,
                               std::vector<float>& scratch) {
  const std::int64_t begin = std::max<std::int64_t>(tile - frame.lead, 0);
  const std::int64_t end = std::min(tile + kRowTile - frame.lead, frame.rows);
  if (end - begin == kRowTile) return source.row_block(begin, kRowTile);
  scratch.assign(static_cast<std::size_t>(kRowTile * source.columns), 0.0f);
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int64_t row = r + frame.lead - tile;
    std::copy_n(source.data + r * source.stride, source.columns, scratch.data() + row * source.columns);
  }
  return {scratch.data(), kRowTile, source.columns, source.columns};
}

/// Sums of the columns of a tile, row by row in order.
void column_sums(Matrix<const float> tile, std::vector<float>& sums) {
  sums.assign(static_cast<std::size_t>(tile.columns), 0.0f);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const float* row = tile.data + r * tile.stride;
    for (std::int64_t c = 0; c < tile.columns; ++c) sums[static_cast<std::size_t>(c)] += row[c];
  }
}

}  // namespace

void HostOps::head_backward(const VocabShard& shard, const RowFrame& frame, const HeadBackward& t) {
  const std::int64_t width = t.head.columns;
  const Matrix<const float> hidden{t.hidden.data(), frame.padded, width, width};
  std::vector<float> padded_tile, dtile(static_cast<std::size_t>(kRowTile * width)), dhead, dbias;
  const std::span<std::int64_t> sums(t.dhidden_sums.words, static_cast<std::size_t>(t.dhidden_sums.size));
  std::ranges::fill(sums, 0);
  *t.dhidden_sums.bound = 0;

  for (int slice = shard.first_slice; slice < shard.last_slice; ++slice) {
    const std::int64_t first = slice_begin(shard.vocab_size, slice) - shard.begin;
    const std::int64_t count = slice_begin(shard.vocab_size, slice + 1) - shard.begin - first;
    if (count == 0) continue;
    dhead.resize(static_cast<std::size_t>(count * width));
    for (std::int64_t tile = 0; tile < frame.padded; tile += kRowTile) {
      const auto d = whole_tile(frame, tile, t.dlogits.column_block(first, count), padded_tile);
      const Matrix<float> dblock{dtile.data(), kRowTile, width, width};
      for (std::int64_t row = 0; row < kRowTile; row += kRowBlock) {
        multiply(d.row_block(row, kRowBlock), Transpose::no, t.head.row_block(first, count), Transpose::no,
                 dblock.row_block(row, kRowBlock));
      }
      add(t.dhidden_sums, tile * width, dtile);
      multiply(d, Transpose::yes, hidden.row_block(tile, kRowTile), Transpose::no,
               {dhead.data(), count, width, width});
      add(t.dhead, first * width, dhead);
      column_sums(d, dbias);
      add(t.dbias, first, dbias);
    }
  }
  mesh().vocab().all_reduce({t.dhidden_sums.words, sums.size() + 1}, {});
  // An invalid sum must not stop this rank before the exchanges to come: it is remembered.
  if (!is_valid_bound(*t.dhidden_sums.bound)) *t.dhidden_bound.bound = kBoundSaturated;
  read(sums, t.dhidden);
}

void HostOps::hidden_backward(const RowFrame& frame, const HiddenBackward& t) {
  const std::int64_t width = t.weights.columns, inputs_width = t.weights.rows;
  for (std::size_t i = 0; i < t.dhidden.size(); ++i) {
    const float h = t.hidden[i];
    t.dhidden[i] *= 1.0f - h * h;
  }
  const Matrix<const float> dsum{t.dhidden.data(), frame.padded, width, width};
  const Matrix<const float> inputs{t.inputs.data(), frame.padded, inputs_width, inputs_width};
  const Matrix<float> dinputs{t.dinputs.data(), frame.padded, inputs_width, inputs_width};
  std::vector<float> dweights(static_cast<std::size_t>(inputs_width * width)), dbias;
  for (std::int64_t tile = 0; tile < frame.padded; tile += kRowTile) {
    const auto d = dsum.row_block(tile, kRowTile);
    multiply(inputs.row_block(tile, kRowTile), Transpose::yes, d, Transpose::no,
             {dweights.data(), inputs_width, width, width});
    add(t.dweights, 0, dweights);
    column_sums(d, dbias);
    add(t.dbias, 0, dbias);
    multiply(d, Transpose::no, t.weights, Transpose::yes, dinputs.row_block(tile, kRowTile));
  }
}

void HostOps::embeddings_backward(const VocabShard& shard, std::span<const std::int32_t> contexts,
                                  std::span<const float> dinputs, const RowFrame& frame,
                                  FixedPointTensor dembeddings) {
  if (frame.rows == 0) return;
  const auto words = static_cast<std::int64_t>(contexts.size());
  const std::int64_t context = words / frame.rows;
  const std::int64_t width = static_cast<std::int64_t>(dinputs.size()) / (frame.padded * context);
  for (std::int64_t i = 0; i < words; ++i) {
    const std::int32_t word = contexts[static_cast<std::size_t>(i)];
    if (!shard.contains(word)) continue;
    const auto from = static_cast<std::size_t>((i + frame.lead * context) * width);
    add(dembeddings, (word - shard.begin) * width, dinputs.subspan(from, static_cast<std::size_t>(width)));
  }
}

}  // namespace klmesh::loop
