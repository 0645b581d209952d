// Where a batch lives: the memory, the kernels and the exchange of one kind of device. One implementation per back end;
// which are there is decided by the files in the targets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/exchange_plan.hpp"
#include "klmesh/device_step_sums.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/statistics.hpp"
#include "klmesh/stream.hpp"

namespace klmesh {

/// What an engine call looks at: this rank's rows and columns.
struct Batch {
  LogitsView policy, reference;
  RowInputs inputs;
};

/// What a back end has of a step's sums after their reduction over the world, on the host.
struct ReducedWords {
  std::vector<std::int64_t> sums;      ///< StepSums::sum_words() of the whole world
  std::vector<std::uint64_t> maxima;   ///< StepSums::max_words()
  InvalidRow own_invalid;              ///< this rank's first invalid row; row -1 if it has none
};

/// The steps of an engine call, in their order. Partials stay in the back end's own memory between them; what the caller
/// gives is memory of memory()'s kind. Work is enqueued on `stream`; on the host it is done on return.
///
/// Nothing is checked here, and nothing allocated but by reserve() and make_sums(). Exchanges are collective over the
/// vocabulary group, reduce() over the world.
class Backend {
 public:
  virtual ~Backend() = default;

  enum class Memory { host, device };
  /// What spans, views and row lists point to.
  virtual Memory memory() const noexcept = 0;

  /// Makes room for the plan and for smaller ones.
  virtual void reserve(const ExchangePlan& plan) = 0;
  virtual std::size_t workspace_bytes() const noexcept = 0;

  /// A peer is lost, so exchanges that were enqueued may never end by themselves: ends them. Nothing can follow.
  virtual void abandon() noexcept {}

  /// The workspace is used on `stream` from here to end_use(), behind what used it before on whatever stream.
  virtual void begin_use(StreamRef) {}
  virtual void end_use(StreamRef) {}

  // The flow of evaluate(). See core/kernels.hpp for what the passes compute.

  virtual void row_partials(const Batch& batch, const ExchangePlan& plan, double renyi_alpha, StreamRef stream) = 0;
  /// This shard's partials to the ranks that finish their rows.
  virtual void exchange_partials(const ExchangePlan& plan, StreamRef stream) = 0;
  /// Folds the parts of the finished rows and writes their tokens.
  virtual void finish(const RowInputs& inputs, const ExchangePlan& plan, const EvaluateOptions& options,
                      std::span<TokenStats> tokens, StreamRef stream) = 0;
  /// by_rows: gives every rank the four doubles a row that a later pass needs; rows that are not this rank's get these
  /// and NaN. Invalid rows stay invalid.
  virtual void share_normalizers(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                                 StreamRef stream) = 0;

  virtual void second_stage(const Batch& batch, const ExchangePlan& plan, std::span<const TokenStats> tokens,
                            StreamRef stream) = 0;
  virtual void exchange_second_stage(const ExchangePlan& plan, StreamRef stream) = 0;
  virtual void finish_second_stage(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                                   StreamRef stream) = 0;
  /// by_rows: gives every rank the double a row that the second stage adds for the gradient.
  virtual void share_mixtures(const RowInputs& inputs, const ExchangePlan& plan, std::span<TokenStats> tokens,
                              StreamRef stream) = 0;

  virtual void gradient(const Batch& batch, std::span<const TokenStats> tokens, const RowScales& scales,
                        const GradientView& output, StreamRef stream) = 0;

  // Sums in this memory. The host's hold a StepSums.

  /// What could keep reduce() from its exchange on this rank alone. @throws InvalidArgument
  virtual void require_reducible(DeviceStepSums& sums, StreamRef stream) = 0;
  virtual DeviceStepSums make_sums(std::int64_t sequences, QuantitySet quantities) = 0;
  virtual void clear(DeviceStepSums& sums, StreamRef stream) = 0;
  virtual void accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, RowRange rows,
                          DeviceStepSums& sums, StreamRef stream) = 0;
  /// One grouped exchange and one copy to the host, which waits for it. `sums` stays as it is.
  virtual ReducedWords reduce(DeviceStepSums& sums, StreamRef stream) = 0;
};

/// Host memory, SIMD, the host's communicators.
/// @param mesh must outlive the back end
std::unique_ptr<Backend> make_host_backend(Mesh& mesh, const VocabShard& shard);

/// An engine on a back end of any kind.
Engine make_engine(Mesh& mesh, const VocabShard& shard, std::unique_ptr<Backend> backend);

}  // namespace klmesh
