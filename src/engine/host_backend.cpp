// The back end of the host: vectors, the SIMD kernels of core, the host's communicators.
#include <vector>

#include "core/kernels.hpp"
#include "engine/backend.hpp"
#include "engine/shared_normalizer.hpp"
#include "engine/vocab_exchange.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

[[noreturn]] void refuse_device_sums() {
  throw InvalidArgument("an engine of the host adds to StepSums, not to sums in device memory");
}

class HostBackend final : public Backend {
 public:
  HostBackend(Communicator& vocab, const VocabShard& shard) : shard_(shard), exchange_(vocab) {}

  Memory memory() const noexcept override { return Memory::host; }

  void reserve(const ExchangePlan& plan) override {
    const auto rows = static_cast<std::size_t>(plan.rows);
    core_.resize(rows);
    extended_.resize(plan.extended ? rows : 0);
    full_.resize(plan.extended ? rows : 0);
    second_.resize(plan.second ? rows : 0);
    exchange_.reserve(plan);
  }

  std::size_t workspace_bytes() const noexcept override {
    return core_.capacity() * sizeof(RowPartial) + extended_.capacity() * sizeof(ExtendedPartial) +
           full_.capacity() * sizeof(FullPartial) + second_.capacity() * sizeof(SecondStagePartial) + exchange_.bytes();
  }

  void row_partials(const Batch& batch, const ExchangePlan&, double renyi_alpha, StreamRef) override {
    cpu::row_partials(batch.policy, batch.reference, shard_, batch.inputs, core_, extended_, renyi_alpha);
  }

  void exchange_partials(const ExchangePlan& plan, StreamRef) override {
    if (!plan.extended) return exchange_.send(std::span<const RowPartial>(core_), plan);
    for (std::size_t i = 0; i < full_.size(); ++i) full_[i] = {core_[i], extended_[i]};
    exchange_.send(std::span<const FullPartial>(full_), plan);
  }

  void finish(const RowInputs& inputs, const ExchangePlan& plan, const EvaluateOptions& options,
              std::span<TokenStats> tokens, StreamRef) override {
    for (std::int64_t row = plan.finished.begin; row < plan.finished.end; ++row) {
      tokens[static_cast<std::size_t>(row)] =
          inputs.counts(row) ? finished(row, !inputs.targets.empty(), plan, options) : TokenStats{};
    }
  }

  void share_normalizers(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                         StreamRef) override {
    exchange_.share<SharedNormalizer>(
        plan, [&](std::size_t row) { return shared_normalizer(tokens[row]); },
        [&](std::size_t row, const SharedNormalizer& shared) {
          tokens[row] = inputs.counts(static_cast<std::int64_t>(row)) ? token_of(shared) : TokenStats{};
        });
  }

  void second_stage(const Batch& batch, const ExchangePlan&, std::span<const TokenStats> tokens, StreamRef) override {
    cpu::second_stage(batch.policy, batch.reference, shard_, batch.inputs, tokens, second_);
  }

  void exchange_second_stage(const ExchangePlan& plan, StreamRef) override {
    exchange_.send(std::span<const SecondStagePartial>(second_), plan);
  }

  void finish_second_stage(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                           StreamRef) override {
    for (std::int64_t row = plan.finished.begin; row < plan.finished.end; ++row) {
      TokenStats& token = tokens[static_cast<std::size_t>(row)];
      if (!inputs.counts(row) || token.invalid_logits()) continue;
      const SecondStagePartial merged = exchange_.merged<SecondStagePartial>(row, plan);
      token.jensen_shannon = merged.jensen_shannon;
      token.total_variation = merged.total_variation;
      token.normalizer.kl_policy_mixture = merged.kl_policy_mixture;
    }
  }

  void share_mixtures(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                      StreamRef) override {
    exchange_.share<double>(
        plan, [&](std::size_t row) { return tokens[row].normalizer.kl_policy_mixture; },
        [&](std::size_t row, double mixture) {
          if (inputs.counts(static_cast<std::int64_t>(row))) tokens[row].normalizer.kl_policy_mixture = mixture;
        });
  }

  void gradient(const Batch& batch, std::span<const TokenStats> tokens, const RowScales& scales,
                const GradientView& output, StreamRef) override {
    cpu::gradient(batch.policy, batch.reference, shard_, batch.inputs, tokens, scales, output);
  }

  DeviceStepSums make_sums(std::int64_t, QuantitySet) override { refuse_device_sums(); }
  void clear(DeviceStepSums&, StreamRef) override { refuse_device_sums(); }
  void accumulate(std::span<const TokenStats>, const RowInputs&, RowRange, DeviceStepSums&, StreamRef) override {
    refuse_device_sums();
  }
  ReducedWords reduce(DeviceStepSums&, StreamRef) override { refuse_device_sums(); }

 private:
  // What the merged partials of a row say.
  TokenStats finished(std::int64_t row, bool has_target, const ExchangePlan& plan,
                      const EvaluateOptions& options) const {
    const FullPartial merged = plan.extended ? exchange_.merged<FullPartial>(row, plan)
                                             : FullPartial{exchange_.merged<RowPartial>(row, plan), {}};
    TokenStats token = klmesh::finish(merged.core, has_target);
    if (options.quantities == QuantitySet::all) finish_extended(merged.extended, token);
    if (options.renyi_alpha) finish_renyi(merged.extended, *options.renyi_alpha, token);
    return token;
  }

  VocabShard shard_;
  VocabExchange exchange_;
  std::vector<RowPartial> core_;            // (rows) this shard's
  std::vector<ExtendedPartial> extended_;   // (rows), or empty: core quantities alone
  std::vector<FullPartial> full_;           // (rows) both, as they travel; or empty
  std::vector<SecondStagePartial> second_;  // (rows), or empty
};

}  // namespace

std::unique_ptr<Backend> make_host_backend(Communicator& vocab, const VocabShard& shard) {
  return std::make_unique<HostBackend>(vocab, shard);
}

}  // namespace klmesh
