#include "loop/policy_parameters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "klmesh/error.hpp"
#include "loop/random.hpp"

namespace klmesh::loop {

std::string_view name(PolicyTensor tensor) noexcept {
  constexpr std::array<std::string_view, kPolicyTensors> names{"embeddings", "hidden_weights", "hidden_bias",
                                                               "head", "head_bias"};
  return names[static_cast<std::size_t>(tensor)];
}

PolicyLayout::PolicyLayout(const ModelConfig& model, const VocabShard& shard) : model_(model), shard_(shard) {
  if (model.context < 1 || model.embedding < 1 || model.hidden < 1 || model.head_multiple < 1) {
    throw InvalidArgument(
        fmt::format("model: context {}, embedding {}, hidden {} and head_multiple {} must be at least 1", model.context,
                    model.embedding, model.hidden, model.head_multiple));
  }
  head_columns_ = (shard.columns() + model.head_multiple - 1) / model.head_multiple * model.head_multiple;
  const std::int64_t inputs = std::int64_t{model.context} * model.embedding;
  const std::array<std::array<std::int64_t, 2>, kPolicyTensors> shapes{{{shard.columns(), model.embedding},
                                                                        {inputs, model.hidden},
                                                                        {1, model.hidden},
                                                                        {shard.columns(), model.hidden},
                                                                        {1, shard.columns()}}};
  const std::int64_t padding = head_columns_ - shard.columns();
  const std::array<std::int64_t, kPolicyTensors> behind{0, 0, 0, padding * model.hidden, padding};
  for (std::size_t t = 0; t < shapes.size(); ++t) {
    extents_[t] = {size_, shapes[t][0], shapes[t][1]};
    size_ += shapes[t][0] * shapes[t][1] + behind[t];
  }
}

namespace {

/// Uniform in +-limit by the global index of the element.
void fill_uniform(Matrix<float> matrix, std::int64_t first_row, double limit, const RandomStream& stream) {
  const auto first = static_cast<std::uint64_t>(first_row * matrix.columns);
  const auto count = static_cast<std::uint64_t>(matrix.rows * matrix.columns);
  for (std::uint64_t i = 0; i < count; ++i) {
    matrix.data[i] = static_cast<float>((2.0 * random_uniform(stream, first + i) - 1.0) * limit);
  }
}

/// What must never be read as a word: logits of about 60 would take all mass. The head's rows lie row by row.
void fill_padding(const PolicyLayout& layout, float* flat) {
  const std::int64_t first = layout.shard().columns();
  const auto head = layout.padded(PolicyTensor::head, flat).row_block(first, layout.head_columns() - first);
  const auto bias = layout.padded(PolicyTensor::head_bias, flat).column_block(first, head.rows);
  std::fill_n(head.data, head.rows * head.columns, 0.1f);
  std::fill_n(bias.data, bias.columns, 60.0f);
}

}  // namespace

PolicyParameters initial_policy_parameters(TensorOps& ops, const PolicyLayout& layout, std::uint64_t seed,
                                           std::span<const float> log_unigram) {
  const VocabShard& shard = layout.shard();
  if (!log_unigram.empty() && static_cast<std::int64_t>(log_unigram.size()) != shard.vocab_size) {
    throw InvalidArgument(fmt::format("log_unigram has {} entries for a vocabulary of {}", log_unigram.size(),
                                      shard.vocab_size));
  }
  std::vector<float> values(static_cast<std::size_t>(layout.size()));
  float* const flat = values.data();
  const double unit_variance = std::sqrt(3.0);  // a uniform in +-1 has variance 1/3
  constexpr double kHeadLimit = 0.05;           // small: the model starts as the unigram model
  const double inputs = static_cast<double>(layout.model().context) * layout.model().embedding;
  fill_uniform(layout.matrix(PolicyTensor::embeddings, flat), shard.begin, unit_variance,
               {seed, RandomPurpose::embeddings, 0});
  fill_uniform(layout.matrix(PolicyTensor::hidden_weights, flat), 0, unit_variance / std::sqrt(inputs),
               {seed, RandomPurpose::hidden_weights, 0});
  fill_uniform(layout.matrix(PolicyTensor::head, flat), shard.begin, kHeadLimit, {seed, RandomPurpose::head, 0});
  fill_padding(layout, flat);
  if (!log_unigram.empty()) {
    std::copy_n(log_unigram.begin() + shard.begin, shard.columns(), layout.matrix(PolicyTensor::head_bias, flat).data);
  }
  PolicyParameters parameters(ops, layout);
  ops.upload(CopyReason::start, std::as_bytes(std::span<const float>(values)), std::as_writable_bytes(parameters.flat()));
  return parameters;
}

}  // namespace klmesh::loop
