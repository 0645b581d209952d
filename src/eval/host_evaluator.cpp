// Chunks on the host: they lie where the engine reads.
#include <utility>
#include <vector>

#include "eval/chunk_evaluator.hpp"

namespace klmesh::eval {
namespace {

// The core statistics of `core`, and all others of `all`: two evaluations of the same row.
TokenStats combined(const TokenStats& core, const TokenStats& all) {
  TokenStats token = all;
  token.kl_reverse = core.kl_reverse;
  token.kl_forward = core.kl_forward;
  token.entropy_policy = core.entropy_policy;
  token.entropy_reference = core.entropy_reference;
  token.cross_entropy_policy_reference = core.cross_entropy_policy_reference;
  token.cross_entropy_reference_policy = core.cross_entropy_reference_policy;
  token.logp_policy = core.logp_policy;
  token.logp_reference = core.logp_reference;
  token.k1 = core.k1;
  token.k2 = core.k2;
  token.k3 = core.k3;
  token.lse_reference = core.lse_reference;
  return token;
}

class HostEvaluator final : public ChunkEvaluator {
 public:
  explicit HostEvaluator(Engine engine) : engine_(std::move(engine)) {}

  const Engine& engine() const noexcept override { return engine_; }

  void evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                const EvaluateOptions& options, std::span<TokenStats> tokens) override {
    engine_.evaluate(policy, reference, inputs, options, tokens, host_stream);
    if (options.quantities == QuantitySet::core && !options.renyi_alpha) return;
    // The extended set is summed by another kernel. A run's own record holds the core kernel's bits: so does ours.
    EvaluateOptions core = options;
    core.quantities = QuantitySet::core;
    core.renyi_alpha.reset();
    core_.assign(tokens.size(), {});
    engine_.evaluate(policy, reference, inputs, core, core_, host_stream);
    for (std::size_t row = 0; row < tokens.size(); ++row) tokens[row] = combined(core_[row], tokens[row]);
  }

 private:
  Engine engine_;
  std::vector<TokenStats> core_;  // (rows) of a chunk
};

}  // namespace

EvalBackend host_backend() {
  return {"cpu", [](Mesh& mesh, std::int64_t vocab_size) -> std::unique_ptr<ChunkEvaluator> {
            return std::make_unique<HostEvaluator>(Engine(mesh, vocab_size));
          }};
}

}  // namespace klmesh::eval
