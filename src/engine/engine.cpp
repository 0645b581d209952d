// The flow of data, top to bottom: row_partials -> exchange over the vocabulary -> finish; gradient; accumulate ->
// exchange over the world -> statistics.
#include "klmesh/engine.hpp"

#include <exception>
#include <utility>
#include <vector>

#include "comm/agreement.hpp"
#include "core/fold.hpp"
#include "engine/backend.hpp"
#include "engine/invalid_rows.hpp"
#include "engine/validate.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

// Runs a check that may throw, and hands on what it threw, to be agreed on.
template <typename Check>
std::exception_ptr failure_of(Check&& check) {
  try {
    check();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

}  // namespace

struct Engine::Impl {
  Mesh* mesh;
  VocabShard shard;
  std::unique_ptr<Backend> backend;
  std::vector<RowPartial> partials;  // (rows) this shard's
  std::vector<RowPartial> gathered;  // (parts, rows) of all shards

  // One exchange per batch of rows; afterwards every rank of the group has every shard's partials.
  void exchange() {
    gathered.resize(partials.size() * static_cast<std::size_t>(mesh->vocab().size()));
    mesh->vocab().all_gather(std::as_bytes(std::span(partials)), std::as_writable_bytes(std::span(gathered)));
  }

  // Folds one row's partials over the vocabulary parts, the top of the slice tree.
  RowPartial merged(std::size_t row) const {
    RowPartial parts[kVocabSlices];
    const auto count = static_cast<std::size_t>(mesh->vocab().size());
    for (std::size_t part = 0; part < count; ++part) parts[part] = gathered[part * partials.size() + row];
    return fold({parts, count});
  }
};

Engine::Engine(Mesh& mesh, std::int64_t vocab_size)
    : impl_(std::make_unique<Impl>(Impl{
          &mesh, vocab_shard(vocab_size, mesh.vocab_part(), mesh.shape().vocab), make_cpu_backend(), {}, {}})) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

const VocabShard& Engine::shard() const noexcept { return impl_->shard; }

bool Engine::reproducible() const noexcept { return is_whole_subtrees(impl_->shard.parts); }

void Engine::evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                      std::span<TokenStats> tokens, StreamRef stream) {
  const VocabShard& shard = impl_->shard;
  agree(impl_->mesh->vocab(), "evaluate", batch_fingerprint(policy, inputs, shard),
        failure_of([&] { validate_batch(policy, reference, inputs, tokens.size(), shard, stream); }));

  impl_->partials.resize(tokens.size());
  impl_->backend->row_partials(policy, reference, shard, inputs, impl_->partials, stream);
  impl_->exchange();
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    tokens[row] = inputs.counts(static_cast<std::int64_t>(row))
                      ? finish(impl_->merged(row), !inputs.targets.empty())
                      : TokenStats{};
  }
}

void Engine::gradient(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                      std::span<const TokenStats> tokens, const RowScales& scales, const GradientView& output,
                      StreamRef stream) {
  const VocabShard& shard = impl_->shard;
  agree(impl_->mesh->vocab(), "gradient", batch_fingerprint(policy, inputs, shard), failure_of([&] {
          validate_batch(policy, reference, inputs, tokens.size(), shard, stream);
          validate_gradient(policy, inputs, tokens, scales, output, shard);
        }));
  impl_->backend->gradient(policy, reference, shard, inputs, tokens, scales, output, stream);
}

void Engine::accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, StepSums& sums) {
  const auto rows = static_cast<std::int64_t>(tokens.size());
  const std::int64_t part = impl_->shard.part;
  const std::int64_t parts = impl_->shard.parts;
  for (std::int64_t row = rows * part / parts; row < rows * (part + 1) / parts; ++row) {
    const auto i = static_cast<std::size_t>(row);
    if (!inputs.counts(row)) {
      sums.add_masked();
    } else if (tokens[i].invalid_logits() || tokens[i].invalid_target()) {
      sums.add_invalid({row, tokens[i].invalid_column, tokens[i].flags, inputs.targets.empty() ? -1 : inputs.targets[i]});
    } else {
      sums.add(tokens[i], inputs.sequence.empty() ? -1 : inputs.sequence[i]);
    }
  }
}

StepStatistics Engine::reduce(const StepSums& sums) {
  Communicator& world = impl_->mesh->world();
  StepSums total = sums;
  agree(world, "reduce", Fingerprint{}.add(total.sum_words().size()).value());
  world.all_reduce(total.sum_words(), total.max_words());
  if (total.invalid_rows() > 0) throw_first_invalid(world, sums, total.invalid_rows());
  if (total.tokens() == 0) throw InvalidData("no token is counted: every row is masked, or there are no rows");
  return total.statistics();
}

}  // namespace klmesh
