// The flow of data, top to bottom: row_partials -> exchange over the vocabulary -> finish; gradient; accumulate ->
// exchange over the world -> statistics. Where it flows is the back end's affair.
#include "klmesh/engine.hpp"

#include <algorithm>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/agreement.hpp"
#include "engine/add_rows.hpp"
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

  // Who cannot agree has lost a peer, and work on a device waits for that one too: its memory could not be freed.
  void agree_or_abandon(Communicator& group, const char* operation, std::uint64_t what, std::exception_ptr failure,
                        const std::function<void()>& explain) {
    agree(group, operation, what, std::move(failure), explain, [this] { backend->abandon(); });
  }

  // Once ranks have agreed, those on which nothing goes wrong wait for the exchanges of one that throws alone, and would
  // take its next ones for these: its groups end.
  template <typename Work>
  auto or_abandon(Work&& work) {
    try {
      return work();
    } catch (...) {
      backend->abandon();
      throw;
    }
  }

  // The ranks that share rows are about to do the same, and nothing is wrong on any of them.
  void agree_on_batch(const char* operation, std::uint64_t what, const std::function<Terms()>& terms,
                      std::exception_ptr failure) {
    Communicator& group = mesh->vocab();
    agree_or_abandon(group, operation, what, std::move(failure), [&] { throw_difference(group, terms()); });
  }

  // All ranks are about to reduce sums of the same kind and layout.
  void agree_on_reduction(const char* kind, std::int64_t sequences, QuantitySet quantities, bool skip_invalid,
                          std::exception_ptr failure) {
    Communicator& world = mesh->world();
    const auto explain = [&] {
      throw_difference(world, {{"back end", backend_name(backend->memory())},
                               {"kind of the sums", kind},
                               {"sequences of the sums", std::to_string(sequences)},
                               {"quantities of the sums", quantities == QuantitySet::all ? "all" : "core"},
                               {"skip_invalid", skip_invalid ? "true" : "false"}});
    };
    Fingerprint what;
    what.add(static_cast<int>(backend->memory())).add(std::string_view(kind)).add(sequences);
    what.add(static_cast<int>(quantities)).add(skip_invalid);
    agree_or_abandon(world, "reduce", what.value(), std::move(failure), explain);
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
  impl_ = std::make_unique<Impl>(Impl{&mesh, shard, make_host_backend(mesh, shard)});
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
  // By the other schedule, which is automatic for fewer rows, they may need more room.
  impl_->backend->reserve(exchange_plan(std::min(rows, most_gathered_rows(impl_->shard)), impl_->shard, options));
  impl_->backend->reserve(exchange_plan(rows, impl_->shard, options));
}

std::size_t Engine::workspace_bytes() const noexcept { return impl_->backend->workspace_bytes(); }

void Engine::evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                      const EvaluateOptions& options, std::span<TokenStats> tokens, StreamRef stream) {
  Backend& backend = *impl_->backend;
  const Batch batch{policy, reference, inputs};
  const ExchangePlan plan = exchange_plan(policy.rows, impl_->shard, options);
  // Partials are this rank's own affair: a device forms them while the ranks agree about the exchange.
  const auto terms = [&] { return batch_terms(batch, options, impl_->shard, backend.memory()); };
  impl_->agree_on_batch("evaluate", batch_fingerprint(batch, options, impl_->shard, backend.memory()), terms,
                        failure_of([&] {
    validate_batch(batch, tokens.size(), impl_->shard, backend.memory(), stream);
    validate_options(options);
    backend.reserve(plan);
    backend.begin_use(stream);
    backend.row_partials(batch, plan, summed_renyi_order(options), stream);
    backend.end_use(stream);  // as far as it went, if the ranks do not agree
  }));

  impl_->or_abandon([&] {
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
    backend.end_use(stream);
  });
}

void Engine::gradient(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                      std::span<const TokenStats> tokens, const RowScales& scales, const GradientView& output,
                      StreamRef stream) {
  Backend& backend = *impl_->backend;
  const Batch batch{policy, reference, inputs};
  const auto terms = [&] { return gradient_terms(batch, scales, output, impl_->shard, backend.memory()); };
  impl_->agree_on_batch("gradient", gradient_fingerprint(batch, scales, output, impl_->shard, backend.memory()), terms,
                        failure_of([&] {
    validate_batch(batch, tokens.size(), impl_->shard, backend.memory(), stream);
    validate_gradient(batch, tokens, scales, output, impl_->shard, backend.memory());
  }));
  backend.gradient(batch, tokens, scales, output, stream);
}

void Engine::accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, StepSums& sums) {
  validate_inputs(inputs, tokens.size());
  add_rows(tokens, inputs, owned_rows(static_cast<std::int64_t>(tokens.size())), sums);
}

StepStatistics Engine::reduce(const StepSums& sums, bool skip_invalid) {
  impl_->agree_on_reduction("StepSums", sums.sequences(), sums.quantities(), skip_invalid, nullptr);
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
  Backend& backend = *impl_->backend;
  impl_->agree_on_reduction("DeviceStepSums", sums.sequences(), sums.quantities(), skip_invalid, failure_of([&] {
    validate_stream(backend.memory(), stream);
    backend.require_reducible(sums, stream);
  }));
  const ReducedWords words = impl_->or_abandon([&] { return backend.reduce(sums, stream); });
  StepSums total(sums.sequences(), sums.quantities());
  total.set_words(words.sums, words.maxima);
  return impl_->conclude(total, words.own_invalid, skip_invalid);
}

}  // namespace klmesh
