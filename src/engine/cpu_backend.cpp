#include "core/kernels.hpp"
#include "engine/backend.hpp"

namespace klmesh {
namespace {

class CpuBackend final : public Backend {
 public:
  void row_partials(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                    const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended,
                    StreamRef) override {
    cpu::row_partials(policy, reference, shard, inputs, partials, extended);
  }

  void second_stage(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                    const RowInputs& inputs, std::span<const TokenStats> tokens,
                    std::span<SecondStagePartial> partials, StreamRef) override {
    cpu::second_stage(policy, reference, shard, inputs, tokens, partials);
  }

  void gradient(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
                const GradientView& output, StreamRef) override {
    cpu::gradient(policy, reference, shard, inputs, tokens, scales, output);
  }
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace klmesh
