// The flow of data, top to bottom: row_partials -> exchange over the vocabulary -> finish; gradient; accumulate ->
// exchange over the world -> statistics. Where it flows is the back end's affair.
#include "klmesh/engine.hpp"

#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "comm/agreement.hpp"
#include "core/row_status.hpp"
#include "engine/backend.hpp"
#include "engine/batch_terms.hpp"
#include "engine/exchange_plan.hpp"
#include "engine/invalid_rows.hpp"
#include "engine/validate.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
struct Engine::Impl {
  Mesh* mesh;
  VocabShard shard;
  std::unique_ptr<Backend> backend;

  // The ranks that share rows are about to do the same, and nothing is wrong on any of them.
  void agree_on_batch(const char* operation, const Batch& batch, const EvaluateOptions& options,
                      std::exception_ptr failure) {
    Communicator& group = mesh->vocab();
    const auto explain = [&] { throw_difference(group, batch_terms(batch, options, shard, backend->memory())); };
    agree(group, operation, batch_fingerprint(batch, options, shard, backend->memory()), std::move(failure),
          std::cref(explain));
  }

  // All ranks are about to reduce sums of the same layout.
  void agree_on_reduction(std::int64_t sequences, QuantitySet quantities, bool skip_invalid) {
    Communicator& world = mesh->world();
    const auto explain = [&] {
      throw_difference(world, {{"sequences of the sums", std::to_string(sequences)},
                               {"quantities of the sums", quantities == QuantitySet::all ? "all" : "core"},
                               {"skip_invalid", skip_invalid ? "true" : "false"}});
    };
    const auto what = Fingerprint{}.add(sequences).add(static_cast<int>(quantities)).add(skip_invalid).value();
    agree(world, "reduce", what, nullptr, std::cref(explain));
  }

  // The end of a step, the same on every rank.
  StepStatistics conclude(const StepSums& total, const InvalidRow& own_invalid, bool skip_invalid) {
    if (total.invalid_inputs() > 0 || (total.invalid_rows() > 0 && !skip_invalid)) {
      throw_first_invalid(mesh->world(), own_invalid, total.invalid_inputs() > 0, total.invalid_rows());
    }
    if (total.tokens() == 0) {
      throw InvalidData("no token is counted: every row is masked or invalid, or there are no rows");
    }
    return total.statistics();
  }
};

Engine make_engine(Mesh& mesh, const VocabShard& shard, std::unique_ptr<Backend> backend) {
  return Engine(std::make_unique<Engine::Impl>(Engine::Impl{&mesh, shard, std::move(backend)}));
}

Engine::Engine(Mesh& mesh, std::int64_t vocab_size) {
  const VocabShard shard = vocab_shard(vocab_size, mesh.vocab_part(), mesh.shape().vocab);
  impl_ = std::make_unique<Impl>(Impl{&mesh, shard, make_host_backend(mesh.vocab(), shard)});
}
Engine::Engine(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

const VocabShard& Engine::shard() const noexcept { return impl_->shard; }

bool Engine::reproducible() const noexcept { return is_whole_subtrees(impl_->shard.parts); }

RowRange Engine::owned_rows(std::int64_t rows) const noexcept {
  return block_of_rows(rows, impl_->shard.part, impl_->shard.parts);
}

void Engine::plan(std::int64_t rows, const EvaluateOptions& options) {
  if (rows < 0) throw InvalidArgument("plan: a negative number of rows");
  validate_options(options);
  impl_->backend->reserve(exchange_plan(rows, impl_->shard, options));
}

std::size_t Engine::workspace_bytes() const noexcept { return impl_->backend->workspace_bytes(); }

void Engine::evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                      const EvaluateOptions& options, std::span<TokenStats> tokens, StreamRef stream) {
  Backend& backend = *impl_->backend;
  const Batch batch{policy, reference, inputs};
  const ExchangePlan plan = exchange_plan(policy.rows, impl_->shard, options);
  // Partials are this rank's own affair: a device forms them while the ranks agree about the exchange.
  impl_->agree_on_batch("evaluate", batch, options, failure_of([&] {
    validate_batch(batch, tokens.size(), impl_->shard, backend.memory(), stream);
    validate_options(options);
    backend.reserve(plan);
    backend.row_partials(batch, plan, summed_renyi_order(options), stream);
  }));

  backend.exchange_partials(plan, stream);
  backend.finish(inputs, plan, options, tokens, stream);
  if (plan.by_rows && (options.gradient_follows || plan.second)) {
    backend.share_normalizers(inputs, plan, tokens, stream);
  }
  if (plan.second) {
    backend.second_stage(batch, plan, tokens, stream);
    backend.exchange_second_stage(plan, stream);
    backend.finish_second_stage(inputs, plan, tokens, stream);
    if (plan.by_rows && options.gradient_follows) backend.share_mixtures(inputs, plan, tokens, stream);
  }
}

void Engine::gradient(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                      std::span<const TokenStats> tokens, const RowScales& scales, const GradientView& output,
                      StreamRef stream) {
  Backend& backend = *impl_->backend;
  const Batch batch{policy, reference, inputs};
  impl_->agree_on_batch("gradient", batch, {}, failure_of([&] {
    validate_batch(batch, tokens.size(), impl_->shard, backend.memory(), stream);
    validate_gradient(batch, tokens, scales, output, impl_->shard, backend.memory());
  }));
  backend.gradient(batch, tokens, scales, output, stream);
}

void Engine::accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, StepSums& sums) {
  validate_inputs(inputs, tokens.size());
  const RowRange rows = owned_rows(static_cast<std::int64_t>(tokens.size()));
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const bool has_sequence = !inputs.sequence.empty();
    const std::int64_t sequence = has_sequence ? inputs.sequence[i] : -1;
    const std::int64_t target = inputs.targets.empty() ? -1 : inputs.targets[i];
    const RowStatus status = row_status(tokens[i], inputs.counts(row), has_sequence, sequence, sums.sequences());
    if (status == RowStatus::counted) {
      sums.add(tokens[i], sequence);
    } else if (status == RowStatus::masked) {
      sums.add_masked();
    } else {
      sums.add_invalid(invalid_row(tokens[i], status, row, target, sequence));
    }
  }
}

StepStatistics Engine::reduce(const StepSums& sums, bool skip_invalid) {
  impl_->agree_on_reduction(sums.sequences(), sums.quantities(), skip_invalid);
  StepSums total = sums;
  std::vector<std::int64_t> words = total.sum_words();
  std::vector<std::uint64_t> maxima = total.max_words();
  impl_->mesh->world().all_reduce(words, maxima);
  total.set_words(words, maxima);
  return impl_->conclude(total, sums.invalid_rows() > 0 ? sums.first_invalid() : InvalidRow{}, skip_invalid);
}

DeviceStepSums Engine::make_device_sums(std::int64_t sequences, QuantitySet quantities) {
  if (sequences < 0) throw InvalidArgument("a negative number of sequences");
  return impl_->backend->make_sums(sequences, quantities);
}

void Engine::clear(DeviceStepSums& sums, StreamRef stream) { impl_->backend->clear(sums, stream); }

void Engine::accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, DeviceStepSums& sums,
                        StreamRef stream) {
  validate_inputs(inputs, tokens.size());
  impl_->backend->accumulate(tokens, inputs, owned_rows(static_cast<std::int64_t>(tokens.size())), sums, stream);
}

StepStatistics Engine::reduce(DeviceStepSums& sums, bool skip_invalid, StreamRef stream) {
  impl_->agree_on_reduction(sums.sequences(), sums.quantities(), skip_invalid);
  const ReducedWords words = impl_->backend->reduce(sums, stream);
  StepSums total(sums.sequences(), sums.quantities());
  total.set_words(words.sums, words.maxima);
  return impl_->conclude(total, words.own_invalid, skip_invalid);
}

}  // namespace klmesh
