// What ranks that share rows must agree on, by name: told only where fingerprints differ.
#pragma once

#include "comm/terms.hpp"
#include "engine/backend.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

/// "cpu" or "cuda", as `--backend` has them.
const char* backend_name(Backend::Memory memory) noexcept;

/// The same things as batch_fingerprint(), one term each; targets, mask and sequence ids as counts and, on the
/// host, hashes.
Terms batch_terms(const Batch& batch, const EvaluateOptions& options, const VocabShard& shard, Backend::Memory memory);

/// The same things as gradient_fingerprint().
Terms gradient_terms(const Batch& batch, const RowScales& scales, const GradientView& output, const VocabShard& shard,
                     Backend::Memory memory);

}  // namespace klmesh
