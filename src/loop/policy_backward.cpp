// Backward pass of the policy. Every sum over units, ranks or words is a sum of integers.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "klmesh/error.hpp"
#include "loop/policy.hpp"

namespace klmesh::loop {
namespace {

/// Position of a tensor inside the gradient. One more tensor, without elements, carries the validity of the
/// gradient of the hidden layer, which is summed over the vocabulary group on the way.
constexpr int index(PolicyTensor tensor) noexcept { return static_cast<int>(tensor); }
constexpr int kHiddenGradient = kPolicyTensors;

/// A tile of `source` (real rows, columns): itself where all rows exist, else a copy in `scratch` with rows
/// of 0.
Matrix<const float> whole_tile(const Activations& activations, std::int64_t tile, Matrix<const float> source,
                               std::vector<float>& scratch) {
  const std::int64_t begin = std::max<std::int64_t>(tile - activations.lead(), 0);
  const std::int64_t end = std::min(tile + kRowTile - activations.lead(), activations.rows);
  if (end - begin == kRowTile) return source.row_block(begin, kRowTile);
  scratch.assign(static_cast<std::size_t>(kRowTile * source.columns), 0.0f);
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int64_t row = r + activations.lead() - tile;
    std::copy_n(source.data + r * source.stride, source.columns, scratch.data() + row * source.columns);
  }
  return {scratch.data(), kRowTile, source.columns, source.columns};
}

/// Sums of the columns of a tile, row by row in order.
void column_sums(Matrix<const float> tile, std::vector<float>& sums) {
  sums.assign(static_cast<std::size_t>(tile.columns), 0.0f);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const float* row = tile.data + r * tile.stride;
    for (std::int64_t c = 0; c < tile.columns; ++c) sums[c] += row[c];
  }
}

}  // namespace

PolicyGradient Policy::make_gradient() const {
  std::vector<TensorSize> tensors;
  for (int t = 0; t < kPolicyTensors; ++t) {
    const auto tensor = static_cast<PolicyTensor>(t);
    const auto matrix = parameters_.padded(tensor);
    tensors.push_back({std::string(name(tensor)), matrix.rows * matrix.columns});
  }
  tensors.push_back({"hidden activations", 0});
  return PolicyGradient(std::move(tensors));
}

void Policy::backward(const Activations& activations, std::span<const float> dlogits,
                      PolicyGradient& gradient) const {
  if (static_cast<std::int64_t>(dlogits.size()) != activations.rows * head_columns()) {
    throw InvalidArgument(fmt::format("backward: {} logit gradients for {} rows of {} columns",
                                      dlogits.size(), activations.rows, head_columns()));
  }
  backward_hidden(activations, backward_head(activations, dlogits, gradient), gradient);
}

/// Head and head bias; returns the gradient of the hidden layer, (padded rows, hidden), summed over the
/// vocabulary.
std::vector<float> Policy::backward_head(const Activations& activations, std::span<const float> dlogits,
                                         PolicyGradient& gradient) const {
  const std::int64_t width = model().hidden;
  const std::int64_t padded = activations.padded_rows();
  const auto head = parameters_[PolicyTensor::head];
  const Matrix<const float> hidden{activations.hidden.data(), padded, width, width};
  const Matrix<const float> source{dlogits.data(), activations.rows, head_columns(), head_columns()};
  ExactGradient dhidden({{"hidden activations", padded * width}});
  std::vector<float> padded_tile, dtile(static_cast<std::size_t>(kRowTile * width)), dhead, dbias;

  for (int slice = shard().first_slice; slice < shard().last_slice; ++slice) {
    const std::int64_t first = slice_begin(shard().vocab_size, slice) - shard().begin;
    const std::int64_t count = slice_begin(shard().vocab_size, slice + 1) - shard().begin - first;
    if (count == 0) continue;
    dhead.resize(static_cast<std::size_t>(count * width));
    for (std::int64_t tile = 0; tile < padded; tile += kRowTile) {
      const auto d = whole_tile(activations, tile, source.column_block(first, count), padded_tile);
      const Matrix<float> dblock{dtile.data(), kRowTile, width, width};
      for (std::int64_t row = 0; row < kRowTile; row += kRowBlock) {
        multiply(d.row_block(row, kRowBlock), Transpose::no, head.row_block(first, count), Transpose::no,
                 dblock.row_block(row, kRowBlock));
      }
      dhidden.add(0, tile * width, dtile);
      multiply(d, Transpose::yes, hidden.row_block(tile, kRowTile), Transpose::no,
               {dhead.data(), count, width, width});
      gradient.add(index(PolicyTensor::head), first * width, dhead);
      column_sums(d, dbias);
      gradient.add(index(PolicyTensor::head_bias), first, dbias);
    }
  }
  dhidden.all_reduce(mesh_->vocab());
  // An invalid sum must not stop this rank before the exchanges to come: it is remembered, and reduce()
  // throws.
  if (!dhidden.valid(0)) gradient.invalidate(kHiddenGradient);
  std::vector<float> values(static_cast<std::size_t>(padded * width));
  dhidden.read(0, values);
  return values;
}

/// Hidden layer and embeddings. Replicated in the vocabulary group, but for the embeddings: each rank takes
/// its rows.
void Policy::backward_hidden(const Activations& activations, std::vector<float> dhidden,
                             PolicyGradient& gradient) const {
  const std::int64_t width = model().hidden;
  const std::int64_t embedding = model().embedding;
  const std::int64_t inputs_width = embedding * model().context;
  const std::int64_t padded = activations.padded_rows();
  for (std::size_t i = 0; i < dhidden.size(); ++i) {
    const float h = activations.hidden[i];
    dhidden[i] *= 1.0f - h * h;
  }
  const Matrix<const float> dsum{dhidden.data(), padded, width, width};
  const Matrix<const float> inputs{activations.inputs.data(), padded, inputs_width, inputs_width};
  std::vector<float> dweights(static_cast<std::size_t>(inputs_width * width)), dbias;
  std::vector<float> dinputs(static_cast<std::size_t>(kRowTile * inputs_width));

  for (std::int64_t tile = 0; tile < padded; tile += kRowTile) {
    const auto d = dsum.row_block(tile, kRowTile);
    multiply(inputs.row_block(tile, kRowTile), Transpose::yes, d, Transpose::no,
             {dweights.data(), inputs_width, width, width});
    gradient.add(index(PolicyTensor::hidden_weights), 0, dweights);
    column_sums(d, dbias);
    gradient.add(index(PolicyTensor::hidden_bias), 0, dbias);
    multiply(d, Transpose::no, parameters_[PolicyTensor::hidden_weights], Transpose::yes,
             {dinputs.data(), kRowTile, inputs_width, inputs_width});
    const std::int64_t begin = std::max<std::int64_t>(tile - activations.lead(), 0);
    const std::int64_t end = std::min(tile + kRowTile - activations.lead(), activations.rows);
    for (std::int64_t i = begin * model().context; i < end * model().context; ++i) {
      const std::int32_t word = activations.contexts[i];
      if (!shard().contains(word)) continue;
      const std::int64_t position = i + (activations.lead() - tile) * model().context;
      gradient.add(index(PolicyTensor::embeddings), (word - shard().begin) * embedding,
                   std::span(dinputs).subspan(position * embedding, embedding));
    }
  }
}

void Policy::reduce(PolicyGradient& gradient) const {
  gradient.all_reduce(mesh_->batch());
  gradient.agree_on_validity(mesh_->vocab());
  gradient.check();
}

}  // namespace klmesh::loop
