#include "engine/validate.hpp"

#include <cmath>
#include <concepts>
#include <limits>
#include <string>
#include <string_view>

#include "comm/agreement.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

void require(bool condition, const std::string& message) {
  if (!condition) throw InvalidArgument(message);
}

// For checks of every row, whose message is made only if it is needed.
template <typename Message>
  requires std::invocable<Message>
void require(bool condition, Message&& message) {
  if (!condition) throw InvalidArgument(message());
}

bool is_weighted(std::span<const double> scales, std::size_t row) { return !scales.empty() && scales[row] != 0.0; }

void require_size(std::size_t size, std::int64_t rows, std::string_view what, bool may_be_empty) {
  require((may_be_empty && size == 0) || static_cast<std::int64_t>(size) == rows,
          std::string(what) + " has " + std::to_string(size) + " entries for " + std::to_string(rows) + " rows");
}

void validate_view(const LogitsView& view, const VocabShard& shard, Backend::Memory memory, const std::string& side) {
  require(view.rows >= 0, side + " logits: negative number of rows");
  require(view.columns >= shard.columns(), side + " logits have " + std::to_string(view.columns) +
                                               " columns, the shard of vocabulary part " +
                                               std::to_string(shard.part) + " has " +
                                               std::to_string(shard.columns()));
  require(view.row_stride >= view.columns, side + " logits: row_stride is less than columns");
  require(std::isfinite(view.scale) && view.scale > 0.0, side + " logits: the scale is not finite and > 0");
  require_size(view.row_index.size(), view.rows, side + " row_index", true);
  if (memory == Backend::Memory::host) {
    for (const std::int64_t row : view.row_index) require(row >= 0, side + " row_index: a negative row");
  }
  require(view.data != nullptr || view.rows == 0 || shard.columns() == 0, side + " logits: null data");
}

// What a weight needs of the row that it is given to.
void validate_weights(const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales) {
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    if (!inputs.counts(static_cast<std::int64_t>(row)) || tokens[row].invalid_logits() || tokens[row].invalid_target()) {
      continue;
    }
    const RowNormalizer& normalizer = tokens[row].normalizer;
    require(!is_weighted(scales.kl_reverse, row) || !std::isinf(normalizer.kl_reverse), [row] {
      return "row " + std::to_string(row) + ": kl_reverse is infinite and has no gradient";
    });
    require(!is_weighted(scales.jensen_shannon, row) || !std::isnan(normalizer.kl_policy_mixture), [row] {
      return "row " + std::to_string(row) +
             ": the gradient of jensen_shannon needs evaluate() with QuantitySet::all and gradient_follows";
    });
  }
}

}  // namespace

void validate_stream(Backend::Memory memory, StreamRef stream) {
  const bool on_host = memory == Backend::Memory::host;
  require(stream.is_host() == on_host, on_host ? "the CPU back end takes host_stream"
                                               : "the GPU back end takes a stream of its device, not host_stream");
}

void validate_batch(const Batch& batch, std::size_t tokens, const VocabShard& shard, Backend::Memory memory,
                    StreamRef stream) {
  validate_stream(memory, stream);
  validate_view(batch.policy, shard, memory, "policy");
  validate_view(batch.reference, shard, memory, "reference");
  require(batch.policy.rows == batch.reference.rows, "policy has " + std::to_string(batch.policy.rows) +
                                                         " rows, reference " + std::to_string(batch.reference.rows));
  require_size(tokens, batch.policy.rows, "tokens", false);
  validate_inputs(batch.inputs, tokens);
}

void validate_options(const EvaluateOptions& options) {
  require(!options.renyi_alpha || is_renyi_order(*options.renyi_alpha),
          "renyi_alpha is not finite and > 0, and 1 or at least 1e-6 away from it");
}

void validate_inputs(const RowInputs& inputs, std::size_t rows) {
  const auto count = static_cast<std::int64_t>(rows);
  require_size(inputs.targets.size(), count, "targets", true);
  require_size(inputs.mask.size(), count, "mask", true);
  require_size(inputs.sequence.size(), count, "sequence", true);
}

void validate_gradient(const Batch& batch, std::span<const TokenStats> tokens, const RowScales& scales,
                       const GradientView& output, const VocabShard& shard, Backend::Memory memory) {
  const LogitsView& policy = batch.policy;
  require_size(scales.kl_reverse.size(), policy.rows, "scales.kl_reverse", true);
  require_size(scales.kl_forward.size(), policy.rows, "scales.kl_forward", true);
  require_size(scales.logp_policy.size(), policy.rows, "scales.logp_policy", true);
  require_size(scales.entropy_policy.size(), policy.rows, "scales.entropy_policy", true);
  require_size(scales.jensen_shannon.size(), policy.rows, "scales.jensen_shannon", true);
  require(scales.logp_policy.empty() || !batch.inputs.targets.empty(), "scales.logp_policy needs targets");
  require(output.rows == policy.rows && output.columns >= shard.columns() && output.row_stride >= output.columns,
          "the gradient's shape does not fit the policy logits");
  require(output.data != nullptr || policy.rows == 0 || shard.columns() == 0, "the gradient has null data");
  require(output.dtype != DType::f64, "the gradient is written as f32, bf16 or f16");
  require(!output.accumulate || output.dtype == DType::f32, "a gradient accumulates in f32 alone");
  require(output.data != policy.data || policy.rows == 0 ||
              (output.dtype == policy.dtype && output.row_stride == policy.row_stride && policy.row_index.empty()),
          "a gradient in place of the policy logits needs their type and stride, and no row list");
  if (memory == Backend::Memory::host) validate_weights(batch.inputs, tokens, scales);
}

double summed_renyi_order(const EvaluateOptions& options) {
  const double alpha = options.renyi_alpha.value_or(1.0);
  return alpha == 1.0 ? std::numeric_limits<double>::quiet_NaN() : alpha;
}

std::uint64_t batch_fingerprint(const Batch& batch, const EvaluateOptions& options, const VocabShard& shard,
                                Backend::Memory memory) {
  const auto& [policy, reference, inputs] = batch;
  Fingerprint f;
  f.add(static_cast<int>(memory)).add(shard.vocab_size).add(shard.parts).add(policy.rows);
  f.add(static_cast<int>(policy.dtype)).add(static_cast<int>(reference.dtype));
  f.add(policy.scale).add(reference.scale);
  f.add(static_cast<int>(options.quantities)).add(static_cast<int>(options.schedule)).add(options.gradient_follows);
  f.add(options.renyi_alpha.has_value()).add(options.renyi_alpha.value_or(0.0));
  f.add(inputs.targets.size()).add(inputs.mask.size()).add(inputs.sequence.size());
  if (memory == Backend::Memory::device) return f.value();  // the host cannot look into it
  for (const std::int64_t target : inputs.targets) f.add(target);
  for (const std::uint8_t flag : inputs.mask) f.add(flag);
  for (const std::int64_t id : inputs.sequence) f.add(id);
  return f.value();
}

std::uint64_t gradient_fingerprint(const Batch& batch, const RowScales& scales, const GradientView& output,
                                   const VocabShard& shard, Backend::Memory memory) {
  Fingerprint f;
  f.add(batch_fingerprint(batch, {}, shard, memory)).add(static_cast<int>(output.dtype)).add(output.accumulate);
  f.add(scales.kl_reverse.empty()).add(scales.kl_forward.empty()).add(scales.logp_policy.empty());
  f.add(scales.entropy_policy.empty()).add(scales.jensen_shannon.empty());
  return f.value();
}

}  // namespace klmesh
