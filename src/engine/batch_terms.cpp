#include "engine/batch_terms.hpp"

#include <fmt/format.h>

#include "comm/agreement.hpp"

namespace klmesh {
namespace {

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "f64";
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
  }
  return "unknown";
}

template <class Values>
Term term_of(const char* name, const Values& values, Backend::Memory memory) {
  if (values.empty()) return {name, "none"};
  if (memory == Backend::Memory::device) return {name, fmt::format("{} values", values.size())};
  Fingerprint f;
  for (const auto value : values) f.add(value);
  return {name, fmt::format("{} values, contents {:016x}", values.size(), f.value())};
}

std::string given_scales(const RowScales& scales) {
  std::string names;
  const auto name = [&](std::span<const double> values, const char* what) {
    if (!values.empty()) names += (names.empty() ? "" : ", ") + std::string(what);
  };
  name(scales.kl_reverse, "kl_reverse");
  name(scales.kl_forward, "kl_forward");
  name(scales.logp_policy, "logp_policy");
  name(scales.entropy_policy, "entropy_policy");
  name(scales.jensen_shannon, "jensen_shannon");
  return names.empty() ? "none" : names;
}

}  // namespace

const char* backend_name(Backend::Memory memory) noexcept { return memory == Backend::Memory::host ? "cpu" : "cuda"; }

Terms batch_terms(const Batch& batch, const EvaluateOptions& options, const VocabShard& shard, Backend::Memory memory) {
  const auto& [policy, reference, inputs] = batch;
  return {{"back end", backend_name(memory)},
          {"vocab_size", fmt::format("{}", shard.vocab_size)},
          {"vocabulary parts", fmt::format("{}", shard.parts)},
          {"rows", fmt::format("{}", policy.rows)},
          {"policy dtype", name_of(policy.dtype)},
          {"reference dtype", name_of(reference.dtype)},
          {"policy scale", fmt::format("{}", policy.scale)},
          {"reference scale", fmt::format("{}", reference.scale)},
          {"quantities", options.quantities == QuantitySet::all ? "all" : "core"},
          {"schedule", fmt::format("{}", static_cast<int>(options.schedule))},
          {"gradient_follows", fmt::format("{}", options.gradient_follows)},
          {"renyi_alpha", options.renyi_alpha ? fmt::format("{}", *options.renyi_alpha) : "not given"},
          term_of("targets", inputs.targets, memory),
          term_of("mask", inputs.mask, memory),
          term_of("sequence", inputs.sequence, memory)};
}

Terms gradient_terms(const Batch& batch, const RowScales& scales, const GradientView& output, const VocabShard& shard,
                     Backend::Memory memory) {
  Terms terms = batch_terms(batch, {}, shard, memory);
  terms.push_back({"scales that are given", given_scales(scales)});
  terms.push_back({"gradient dtype", name_of(output.dtype)});
  terms.push_back({"accumulate of the gradient", output.accumulate ? "true" : "false"});
  return terms;
}

}  // namespace klmesh
