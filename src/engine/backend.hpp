// Where the passes over logits run. One implementation per back end; which are there is decided by the files in the
// target, which the engine's constructor uses.
#pragma once

#include <memory>
#include <span>

#include "core/fold.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/row_partial.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

/// The kernels of core, on one kind of memory. See core/kernels.hpp for what they compute.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual void row_partials(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                            const RowInputs& inputs, std::span<RowPartial> partials,
                            std::span<ExtendedPartial> extended, StreamRef stream) = 0;

  virtual void second_stage(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                            const RowInputs& inputs, std::span<const TokenStats> tokens,
                            std::span<SecondStagePartial> partials, StreamRef stream) = 0;

  virtual void gradient(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                        const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                        const GradientView& output, StreamRef stream) = 0;
};

/// Host memory, SIMD; every call is complete on return.
std::unique_ptr<Backend> make_cpu_backend();

}  // namespace klmesh
