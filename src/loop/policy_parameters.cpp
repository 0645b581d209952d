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

PolicyParameters::PolicyParameters(const ModelConfig& model, const VocabShard& shard)
    : model_(model), shard_(shard) {
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
  std::int64_t offset = 0;
  for (std::size_t t = 0; t < shapes.size(); ++t) {
    extents_[t] = {offset, shapes[t][0], shapes[t][1]};
    offset += shapes[t][0] * shapes[t][1] + behind[t];
  }
  values_.assign(static_cast<std::size_t>(offset), 0.0f);
}

Matrix<float> PolicyParameters::operator[](PolicyTensor tensor) noexcept {
  const Extent& e = extents_[static_cast<std::size_t>(tensor)];
  return {values_.data() + e.offset, e.rows, e.columns, e.columns};
}

Matrix<const float> PolicyParameters::operator[](PolicyTensor tensor) const noexcept {
  const Extent& e = extents_[static_cast<std::size_t>(tensor)];
  return {values_.data() + e.offset, e.rows, e.columns, e.columns};
}

Matrix<float> PolicyParameters::padded(PolicyTensor tensor) noexcept {
  Matrix<float> matrix = (*this)[tensor];
  if (tensor == PolicyTensor::head) matrix.rows = head_columns_;
  if (tensor == PolicyTensor::head_bias) matrix.columns = matrix.stride = head_columns_;
  return matrix;
}

Matrix<const float> PolicyParameters::padded(PolicyTensor tensor) const noexcept {
  Matrix<const float> matrix = (*this)[tensor];
  if (tensor == PolicyTensor::head) matrix.rows = head_columns_;
  if (tensor == PolicyTensor::head_bias) matrix.columns = matrix.stride = head_columns_;
  return matrix;
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
void fill_padding(PolicyParameters& parameters) {
  const std::int64_t first = parameters.shard().columns();
  const auto head = parameters.padded(PolicyTensor::head).row_block(first, parameters.head_columns() - first);
  const auto bias = parameters.padded(PolicyTensor::head_bias).column_block(first, head.rows);
  std::fill_n(head.data, head.rows * head.columns, 0.1f);
  std::fill_n(bias.data, bias.columns, 60.0f);
}

}  // namespace

PolicyParameters initial_policy_parameters(const ModelConfig& model, const VocabShard& shard,
                                           std::uint64_t seed, std::span<const float> log_unigram) {
  if (!log_unigram.empty() && static_cast<std::int64_t>(log_unigram.size()) != shard.vocab_size) {
    throw InvalidArgument(fmt::format("log_unigram has {} entries for a vocabulary of {}", log_unigram.size(),
                                      shard.vocab_size));
  }
  PolicyParameters parameters(model, shard);
  const double unit_variance = std::sqrt(3.0);  // a uniform in +-1 has variance 1/3
  constexpr double kHeadLimit = 0.05;           // small: the model starts as the unigram model
  const double inputs = static_cast<double>(model.context) * model.embedding;
  fill_uniform(parameters[PolicyTensor::embeddings], shard.begin, unit_variance,
               {seed, RandomPurpose::embeddings, 0});
  fill_uniform(parameters[PolicyTensor::hidden_weights], 0, unit_variance / std::sqrt(inputs),
               {seed, RandomPurpose::hidden_weights, 0});
  fill_uniform(parameters[PolicyTensor::head], shard.begin, kHeadLimit, {seed, RandomPurpose::head, 0});
  fill_padding(parameters);
  if (!log_unigram.empty()) {
    std::copy_n(log_unigram.begin() + shard.begin, shard.columns(), parameters[PolicyTensor::head_bias].data);
  }
  return parameters;
}

}  // namespace klmesh::loop
