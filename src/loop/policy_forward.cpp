// Forward pass of the policy: vocabulary-parallel embeddings, replicated hidden layer, sharded output head.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "klmesh/error.hpp"
#include "loop/policy.hpp"

namespace klmesh::loop {
namespace {

/// The blocks of kRowBlock padded rows that hold at least one real row.
template <class Body>
void for_each_block(const Activations& activations, Body&& body) {
  const std::int64_t end = activations.lead() + activations.rows;
  for (std::int64_t row = activations.lead() / kRowBlock * kRowBlock; row < end; row += kRowBlock) body(row);
}

void add_bias(Matrix<float> block, const float* bias) {
  for (std::int64_t r = 0; r < block.rows; ++r) {
    float* row = block.data + r * block.stride;
    for (std::int64_t c = 0; c < block.columns; ++c) row[c] += bias[c];
  }
}

}  // namespace

void Policy::forward(std::span<const std::int32_t> contexts, std::int64_t first_row, Activations& activations,
                     std::span<float> logits) const {
  const auto words = static_cast<std::int64_t>(contexts.size());
  const std::int64_t rows = words / model().context;
  if (rows * model().context != words ||
      static_cast<std::int64_t>(logits.size()) != rows * head_columns() || first_row < 0) {
    throw InvalidArgument(fmt::format("forward: {} context words and {} logits do not fit {} columns", words,
                                      logits.size(), head_columns()));
  }
  for (const std::int32_t word : contexts) {
    if (word < 0 || word >= shard().vocab_size) {
      throw InvalidArgument(
          fmt::format("forward: word {} is outside the vocabulary of {}", word, shard().vocab_size));
    }
  }
  activations.first_row = first_row;
  activations.rows = rows;
  activations.contexts.assign(contexts.begin(), contexts.end());
  look_up_embeddings(activations);
  compute_hidden(activations);
  compute_logits(activations, logits);
}

void Policy::look_up_embeddings(Activations& activations) const {
  const std::int64_t width = model().embedding;
  const std::int64_t row_width = width * model().context;
  activations.inputs.assign(static_cast<std::size_t>(activations.padded_rows() * row_width), 0.0f);
  float* inputs = activations.inputs.data() + activations.lead() * row_width;
  const auto embeddings = parameters_[PolicyTensor::embeddings];
  const auto words = static_cast<std::int64_t>(activations.contexts.size());
  for (std::int64_t i = 0; i < words; ++i) {
    const std::int32_t word = activations.contexts[i];
    if (!shard().contains(word)) continue;
    std::copy_n(embeddings.data + (word - shard().begin) * width, width, inputs + i * width);
  }
  if (mesh_->vocab().size() == 1) return;
  // One rank of the group holds the bits of each float and the others all-zero bits, so an integer sum of
  // words of two floats is an exact exchange. (No carry can leave a half: one addend of each half is the only
  // one not 0.)
  const auto bytes = static_cast<std::size_t>(words * width) * sizeof(float);
  std::vector<std::int64_t> packed((bytes + 7) / 8);
  if (bytes != 0) std::memcpy(packed.data(), inputs, bytes);
  mesh_->vocab().all_reduce(packed, {});
  if (bytes != 0) std::memcpy(inputs, packed.data(), bytes);
}

void Policy::compute_hidden(Activations& activations) const {
  const std::int64_t inputs_width = std::int64_t{model().context} * model().embedding;
  const std::int64_t padded = activations.padded_rows();
  activations.hidden.assign(static_cast<std::size_t>(padded * model().hidden), 0.0f);
  const Matrix<const float> inputs{activations.inputs.data(), padded, inputs_width, inputs_width};
  const Matrix<float> hidden{activations.hidden.data(), padded, model().hidden, model().hidden};
  for_each_block(activations, [&](std::int64_t first) {
    multiply(inputs.row_block(first, kRowBlock), Transpose::no, parameters_[PolicyTensor::hidden_weights],
             Transpose::no, hidden.row_block(first, kRowBlock));
  });
  // Real rows only: padding stays 0, also where the bias is not.
  const auto real = hidden.row_block(activations.lead(), activations.rows);
  add_bias(real, parameters_[PolicyTensor::hidden_bias].data);
  const std::int64_t count = real.rows * real.columns;
  for (std::int64_t i = 0; i < count; ++i) real.data[i] = std::tanh(real.data[i]);
}

void Policy::compute_logits(const Activations& activations, std::span<float> logits) const {
  std::vector<float> scratch;
  // Slices outside, rows inside: a slice of the head stays in the cache while all rows use it.
  for (int slice = shard().first_slice; slice < shard().last_slice; ++slice) {
    const std::int64_t first = slice_begin(shard().vocab_size, slice) - shard().begin;
    const std::int64_t end = slice_begin(shard().vocab_size, slice + 1) - shard().begin;
    compute_columns(activations, first, end - first, logits, scratch);
  }
  compute_columns(activations, shard().columns(), head_columns() - shard().columns(), logits, scratch);
}

/// Columns first .. first + count - 1 of the head's memory, for all rows.
void Policy::compute_columns(const Activations& activations, std::int64_t first, std::int64_t count,
                             std::span<float> logits, std::vector<float>& scratch) const {
  if (count == 0) return;
  const auto head = parameters_.padded(PolicyTensor::head).row_block(first, count);
  const float* bias = parameters_.padded(PolicyTensor::head_bias).data + first;
  const Matrix<const float> hidden{activations.hidden.data(), activations.padded_rows(), model().hidden,
                                   model().hidden};
  const Matrix<float> output{logits.data(), activations.rows, head_columns(), head_columns()};
  for_each_block(activations, [&](std::int64_t block) {
    const std::int64_t begin = std::max<std::int64_t>(block - activations.lead(), 0);
    const std::int64_t end = std::min(block + kRowBlock - activations.lead(), activations.rows);
    const auto target = output.row_block(begin, end - begin).column_block(first, count);
    if (end - begin == kRowBlock) {
      multiply(hidden.row_block(block, kRowBlock), Transpose::no, head, Transpose::yes, target);
    } else {
      // The same shape as everywhere, so the same bits; the rows that exist are copied out.
      scratch.resize(static_cast<std::size_t>(kRowBlock * count));
      const Matrix<float> whole{scratch.data(), kRowBlock, count, count};
      multiply(hidden.row_block(block, kRowBlock), Transpose::no, head, Transpose::yes, whole);
      for (std::int64_t r = begin; r < end; ++r) {
        std::copy_n(whole.data + (r + activations.lead() - block) * count, count,
                    output.data + r * output.stride + first);
      }
    }
    add_bias(target, bias);
  });
}

}  // namespace klmesh::loop
