#include "engine/validate.hpp"

#include <cmath>
#include <string>
#include <string_view>

#include "comm/agreement.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

void require(bool condition, const std::string& message) {
  if (!condition) throw InvalidArgument(message);
}

void require_size(std::size_t size, std::int64_t rows, std::string_view what, bool may_be_empty) {
  require((may_be_empty && size == 0) || static_cast<std::int64_t>(size) == rows,
          std::string(what) + " has " + std::to_string(size) + " entries for " + std::to_string(rows) + " rows");
}

void validate_view(const LogitsView& view, const VocabShard& shard, const std::string& side) {
  require(view.rows >= 0, side + " logits: negative number of rows");
  require(view.columns >= shard.columns(), side + " logits have " + std::to_string(view.columns) +
                                               " columns, the shard of vocabulary part " +
                                               std::to_string(shard.part) + " has " +
                                               std::to_string(shard.columns()));
  require(view.row_stride >= view.columns, side + " logits: row_stride is less than columns");
  require(std::isfinite(view.scale) && view.scale > 0.0, side + " logits: the scale is not finite and > 0");
  require_size(view.row_index.size(), view.rows, side + " row_index", true);
  for (const std::int64_t row : view.row_index) require(row >= 0, side + " row_index: a negative row");
  require(view.data != nullptr || view.rows == 0 || shard.columns() == 0, side + " logits: null data");
}

}  // namespace

void validate_batch(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                    std::size_t tokens, const VocabShard& shard, StreamRef stream) {
  require(stream.is_host(), "the CPU back end takes host_stream");
  validate_view(policy, shard, "policy");
  validate_view(reference, shard, "reference");
  require(policy.rows == reference.rows, "policy has " + std::to_string(policy.rows) + " rows, reference " +
                                             std::to_string(reference.rows));
  require_size(tokens, policy.rows, "tokens", false);
  validate_inputs(inputs, tokens);
}

void validate_inputs(const RowInputs& inputs, std::size_t rows) {
  const auto count = static_cast<std::int64_t>(rows);
  require_size(inputs.targets.size(), count, "targets", true);
  require_size(inputs.mask.size(), count, "mask", true);
  require_size(inputs.sequence.size(), count, "sequence", true);
}

void validate_gradient(const LogitsView& policy, const RowInputs& inputs, std::span<const TokenStats> tokens,
                       const RowScales& scales, const GradientView& output, const VocabShard& shard) {
  require_size(scales.kl_reverse.size(), policy.rows, "scales.kl_reverse", true);
  require_size(scales.kl_forward.size(), policy.rows, "scales.kl_forward", true);
  require_size(scales.logp_policy.size(), policy.rows, "scales.logp_policy", true);
  require_size(scales.entropy_policy.size(), policy.rows, "scales.entropy_policy", true);
  require(scales.logp_policy.empty() || !inputs.targets.empty(), "scales.logp_policy needs targets");
  require(output.rows == policy.rows && output.columns >= shard.columns() && output.row_stride >= output.columns,
          "the gradient's shape does not fit the policy logits");
  require(output.data != nullptr || policy.rows == 0 || shard.columns() == 0, "the gradient has null data");
  require(output.dtype != DType::f64, "the gradient is written as f32, bf16 or f16");
  require(!output.accumulate || output.dtype == DType::f32, "a gradient accumulates in f32 alone");
  require(output.data != policy.data || policy.rows == 0 ||
              (output.dtype == policy.dtype && output.row_stride == policy.row_stride && policy.row_index.empty()),
          "a gradient in place of the policy logits needs their type and stride, and no row list");
  for (std::size_t row = 0; row < scales.kl_reverse.size(); ++row) {
    const bool used = scales.kl_reverse[row] != 0.0 && inputs.counts(static_cast<std::int64_t>(row)) &&
                      !tokens[row].invalid_logits() && !tokens[row].invalid_target();
    require(!used || !std::isinf(tokens[row].normalizer.kl_reverse),
            "row " + std::to_string(row) + ": kl_reverse is infinite and has no gradient");
  }
}

std::uint64_t batch_fingerprint(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                                const EvaluateOptions& options, const VocabShard& shard) {
  Fingerprint f;
  f.add(shard.vocab_size).add(shard.parts).add(policy.rows);
  f.add(static_cast<int>(policy.dtype)).add(static_cast<int>(reference.dtype));
  f.add(policy.scale).add(reference.scale);
  f.add(static_cast<int>(options.quantities)).add(static_cast<int>(options.schedule)).add(options.gradient_follows);
  f.add(inputs.targets.size()).add(inputs.mask.size()).add(inputs.sequence.size());
  for (const std::int64_t target : inputs.targets) f.add(target);
  for (const std::uint8_t flag : inputs.mask) f.add(flag);
  for (const std::int64_t id : inputs.sequence) f.add(id);
  return f.value();
}

}  // namespace klmesh
