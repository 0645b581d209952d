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

}  // namespace

Terms batch_terms(const Batch& batch, const EvaluateOptions& options, const VocabShard& shard, Backend::Memory memory) {
  const auto& [policy, reference, inputs] = batch;
  return {{"memory", memory == Backend::Memory::host ? "host" : "device"},
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

}  // namespace klmesh
