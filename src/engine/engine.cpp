// The flow of data, top to bottom: row_partials -> exchange over the vocabulary -> finish; gradient; accumulate ->
// exchange over the world -> statistics.
#include "klmesh/engine.hpp"

#include <exception>
#include <utility>
#include <vector>

#include "comm/agreement.hpp"
#include "engine/backend.hpp"
#include "engine/invalid_rows.hpp"
#include "engine/validate.hpp"
#include "engine/vocab_exchange.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
struct Engine::Impl {
  Mesh* mesh;
  VocabShard shard;
  std::unique_ptr<Backend> backend;
  VocabExchange exchange;
  std::vector<RowPartial> core;            // (rows) this shard's
  std::vector<ExtendedPartial> extended;   // (rows), or empty: core quantities alone
  std::vector<FullPartial> full;           // (rows) both, as they travel; or empty
  std::vector<SecondStagePartial> second;  // (rows), or empty

  void reserve(std::size_t rows, const EvaluateOptions& options) {
    const bool all = options.quantities == QuantitySet::all;
    core.resize(rows);
    extended.resize(all ? rows : 0);
    full.resize(all ? rows : 0);
    second.resize(all ? rows : 0);
    exchange.reserve(options);
  }

  // row_partials -> exchange -> finish, for the rows that this schedule lets this rank finish.
  RowRange first_stage(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                       const EvaluateOptions& options, std::span<TokenStats> tokens, StreamRef stream) {
    backend->row_partials(policy, reference, shard, inputs, core, extended, stream);
    const RowRange rows = exchange.start(mesh->vocab(), static_cast<std::int64_t>(tokens.size()), options);
    if (extended.empty()) {
      exchange.send(mesh->vocab(), std::span<const RowPartial>(core));
    } else {
      for (std::size_t i = 0; i < full.size(); ++i) full[i] = {core[i], extended[i]};
      exchange.send(mesh->vocab(), std::span<const FullPartial>(full));
    }
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      tokens[static_cast<std::size_t>(row)] = inputs.counts(row) ? finished(row, !inputs.targets.empty()) : TokenStats{};
    }
    return rows;
  }

  // What the merged partials of a row say.
  TokenStats finished(std::int64_t row, bool has_target) const {
    if (extended.empty()) return finish(exchange.merged<RowPartial>(row), has_target);
    const FullPartial merged = exchange.merged<FullPartial>(row);
    TokenStats token = finish(merged.core, has_target);
    finish_extended(merged.extended, token);
    return token;
  }

  // What needs both normalisers first.
  void second_stage(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs, RowRange rows,
                    std::span<TokenStats> tokens, StreamRef stream) {
    backend->second_stage(policy, reference, shard, inputs, tokens, second, stream);
    exchange.send(mesh->vocab(), std::span<const SecondStagePartial>(second));
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      TokenStats& token = tokens[static_cast<std::size_t>(row)];
      if (!inputs.counts(row) || token.invalid_logits()) continue;
      const SecondStagePartial merged = exchange.merged<SecondStagePartial>(row);
      token.jensen_shannon = merged.jensen_shannon;
      token.total_variation = merged.total_variation;
    }
  }
};

Engine::Engine(Mesh& mesh, std::int64_t vocab_size) : impl_(std::make_unique<Impl>()) {
  impl_->mesh = &mesh;
  impl_->shard = vocab_shard(vocab_size, mesh.vocab_part(), mesh.shape().vocab);
  impl_->backend = make_cpu_backend();
}
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
  impl_->exchange.start(impl_->mesh->vocab(), rows, options);
  impl_->reserve(static_cast<std::size_t>(rows), options);
}

std::size_t Engine::workspace_bytes() const noexcept {
  return impl_->core.capacity() * sizeof(RowPartial) + impl_->extended.capacity() * sizeof(ExtendedPartial) +
         impl_->full.capacity() * sizeof(FullPartial) +
         impl_->second.capacity() * sizeof(SecondStagePartial) + impl_->exchange.bytes();
}

void Engine::evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                      const EvaluateOptions& options, std::span<TokenStats> tokens, StreamRef stream) {
  const VocabShard& shard = impl_->shard;
  agree(impl_->mesh->vocab(), "evaluate", batch_fingerprint(policy, reference, inputs, options, shard), failure_of([&] {
          validate_batch(policy, reference, inputs, tokens.size(), shard, stream);
          impl_->exchange.start(impl_->mesh->vocab(), policy.rows, options);
          impl_->reserve(tokens.size(), options);  // here, so that lack of memory is agreed on too
        }));

  const RowRange rows = impl_->first_stage(policy, reference, inputs, options, tokens, stream);
  const bool second = options.quantities == QuantitySet::all;
  if (impl_->exchange.by_rows() && (options.gradient_follows || second)) {
    impl_->exchange.share_normalizers(impl_->mesh->vocab(), inputs, rows, tokens);
  }
  if (second) impl_->second_stage(policy, reference, inputs, rows, tokens, stream);
}

void Engine::gradient(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                      std::span<const TokenStats> tokens, const RowScales& scales, const GradientView& output,
                      StreamRef stream) {
  const VocabShard& shard = impl_->shard;
  agree(impl_->mesh->vocab(), "gradient", batch_fingerprint(policy, reference, inputs, {}, shard), failure_of([&] {
          validate_batch(policy, reference, inputs, tokens.size(), shard, stream);
          validate_gradient(policy, inputs, tokens, scales, output, shard);
        }));
  impl_->backend->gradient(policy, reference, shard, inputs, tokens, scales, output, stream);
}

void Engine::accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, StepSums& sums) {
  validate_inputs(inputs, tokens.size());
  const RowRange rows = owned_rows(static_cast<std::int64_t>(tokens.size()));
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const std::int64_t sequence = inputs.sequence.empty() ? -1 : inputs.sequence[i];
    if (!inputs.counts(row)) {
      sums.add_masked();
    } else if (tokens[i].invalid_logits() || tokens[i].invalid_target()) {
      sums.add_invalid({row, tokens[i].invalid_column, tokens[i].flags, inputs.targets.empty() ? -1 : inputs.targets[i]});
    } else if (!inputs.sequence.empty() && (sequence < 0 || sequence >= sums.sequences())) {
      sums.add_invalid({row, -1, tokens[i].flags | kSequenceOutOfRange, sequence});
    } else {
      sums.add(tokens[i], sequence);
    }
  }
}

StepStatistics Engine::reduce(const StepSums& sums, bool skip_invalid) {
  Communicator& world = impl_->mesh->world();
  StepSums total = sums;
  std::vector<std::int64_t> words = total.sum_words();
  std::vector<std::uint64_t> maxima = total.max_words();
  agree(world, "reduce", Fingerprint{}.add(words.size()).add(maxima.size()).add(skip_invalid).value());
  world.all_reduce(words, maxima);
  total.set_words(words, maxima);
  if (total.invalid_inputs() > 0 || (total.invalid_rows() > 0 && !skip_invalid)) {
    throw_first_invalid(world, sums, total.invalid_inputs() > 0, total.invalid_rows());
  }
  if (total.tokens() == 0) throw InvalidData("no token is counted: every row is masked or invalid, or there are no rows");
  return total.statistics();
}

}  // namespace klmesh
