// The back end of the host: vectors, the SIMD kernels of core, the host's communicators.
#include <vector>

#include "core/kernels.hpp"
#include "engine/add_rows.hpp"
#include "engine/backend.hpp"
#include "engine/shared_normalizer.hpp"
#include "engine/vocab_exchange.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

/// What a host engine keeps of DeviceStepSums.
struct HostStepSums final : DeviceStepSums::Storage {
  HostStepSums(std::int64_t sequences, QuantitySet quantities) : sums(sequences, quantities) {}

  static StepSums& of(DeviceStepSums& all) {
    auto* const mine = dynamic_cast<HostStepSums*>(&all.storage());
    if (mine == nullptr) throw InvalidArgument("the sums belong to another back end");
    return mine->sums;
  }

  StepSums sums;
};

class HostBackend final : public Backend {
 public:
  HostBackend(Mesh& mesh, const VocabShard& shard) : mesh_(&mesh), shard_(shard), exchange_(mesh.vocab()) {}

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

  void require_reducible(DeviceStepSums& sums, StreamRef) override { static_cast<void>(HostStepSums::of(sums)); }

  DeviceStepSums make_sums(std::int64_t sequences, QuantitySet quantities) override {
    return {std::make_unique<HostStepSums>(sequences, quantities), sequences, quantities};
  }

  void clear(DeviceStepSums& sums, StreamRef) override {
    HostStepSums::of(sums) = StepSums(sums.sequences(), sums.quantities());
  }

  void accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, RowRange rows, DeviceStepSums& sums,
                  StreamRef) override {
    add_rows(tokens, inputs, rows, HostStepSums::of(sums));
  }

  ReducedWords reduce(DeviceStepSums& sums, StreamRef) override {
    StepSums total = HostStepSums::of(sums);
    ReducedWords words{total.sum_words(), total.max_words(), total.invalid_rows() > 0 ? total.first_invalid() : InvalidRow{}};
    mesh_->world().all_reduce(words.sums, words.maxima);
    return words;
  }

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

  Mesh* mesh_;
  VocabShard shard_;
  VocabExchange exchange_;
  std::vector<RowPartial> core_;            // (rows) this shard's
  std::vector<ExtendedPartial> extended_;   // (rows), or empty: core quantities alone
  std::vector<FullPartial> full_;           // (rows) both, as they travel; or empty
  std::vector<SecondStagePartial> second_;  // (rows), or empty
};

}  // namespace

std::unique_ptr<Backend> make_host_backend(Mesh& mesh, const VocabShard& shard) {
  return std::make_unique<HostBackend>(mesh, shard);
}

}  // namespace klmesh
