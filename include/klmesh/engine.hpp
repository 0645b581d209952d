// The flow of data, one function per arrow: evaluate, gradient, accumulate, reduce.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "klmesh/device_step_sums.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/statistics.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

class Backend;

/// How partials travel. Both give the same bits.
enum class Schedule {
  automatic,  ///< gather for few rows x parts, by_rows for many
  gather,     ///< all-gather: every rank finishes every row. Few rows, latency-bound
  by_rows,    ///< all-to-all: each rank finishes ceil(rows / parts) of them
};

struct EvaluateOptions {
  /// all: three more doubles a row travel in a second exchange. On the CPU, core sums f32, f16 and bf16 logits in fp32
  /// lanes, all (and renyi_alpha) in fp64: the core quantities of the two agree within the bars, not in the last bits
  QuantitySet quantities = QuantitySet::core;
  Schedule schedule = Schedule::automatic;
  bool gradient_follows = true;  ///< by_rows: every rank gets what gradient() needs: four doubles a row, five with all
  /// TokenStats::renyi is computed for it, in whatever set. Finite, > 0; 1 (which is kl_reverse), or at least 1e-6
  /// away from it
  std::optional<double> renyi_alpha = std::nullopt;
};

/// Rows [begin, end) of a batch.
struct RowRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  constexpr std::int64_t size() const noexcept { return end - begin; }
};

/// Computes on logits that are sharded over a mesh. Borrows the mesh; one engine per vocabulary.
///
/// Wrong shapes are found before anything is exchanged, and all ranks of the group throw or none does. Wrong data
/// (NaN, a target out of range) are recorded row by row, give zero gradient, and make reduce() throw on every rank.
class Engine {
 public:
  /// @param mesh       must outlive the engine
  /// @param vocab_size real vocabulary; this rank owns shard()
  /// @throws InvalidArgument unless 1 <= vocab_size and the mesh has at most 64 vocabulary parts
  Engine(Mesh& mesh, std::int64_t vocab_size);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  const VocabShard& shard() const noexcept;

  /// True if results have the same bits as on every other mesh of whole subtrees (1, 2, 4 ... 64 vocabulary parts).
  bool reproducible() const noexcept;

  /// The rows that this rank finishes in the schedule by_rows and adds in accumulate(): ceil(rows / parts) each.
  RowRange owned_rows(std::int64_t rows) const noexcept;

  /// Makes room for calls with up to `rows` rows; such calls then allocate nothing that grows with the rows. No
  /// communication: what it throws is thrown on this rank alone, and the ranks have to agree before they go on.
  /// @throws InvalidArgument if the rows are negative or an option is wrong; CudaError or std::bad_alloc without room
  void plan(std::int64_t rows, const EvaluateOptions& options);
  /// Bytes of workspace held.
  std::size_t workspace_bytes() const noexcept;

  /// Computes the statistics of every row. Collective over the vocabulary group.
  ///
  /// @param policy, reference (rows, >= shard().columns()) logits of this rank's shard; further columns are padding
  ///                          and not read. Types may differ: the wider one is computed in
  /// @param inputs targets, mask, sequence ids of the same rows, equal on all ranks of the group
  /// @param tokens (rows) output, the same bits on all ranks of the group; masked rows are zero. In the schedule
  ///               by_rows, rows that are not owned_rows() hold what gradient() needs alone, and NaN; with core
  ///               quantities and without gradient_follows they are not written
  /// @param stream host_stream: complete on return
  /// Cost: one read of both shards; one exchange of 104 bytes a row (192 with all quantities, or a Renyi divergence).
  /// With all quantities also a second read, and an exchange of 24 bytes a row.
  /// @throws InvalidArgument on every rank of the group, if shapes or options are wrong
  /// @throws InvalidData on every rank of the group, if its ranks disagree about rows, inputs or options
  void evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                const EvaluateOptions& options, std::span<TokenStats> tokens, StreamRef stream);

  /// The same with the default options: core quantities.
  void evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                std::span<TokenStats> tokens, StreamRef stream) {
    evaluate(policy, reference, inputs, EvaluateOptions{}, tokens, stream);
  }

  /// Writes or adds the gradient of the scaled objective with respect to this shard's policy logits. No exchange of
  /// data; collective over the vocabulary group for the agreement alone.
  ///
  /// @param tokens what evaluate() returned for the same logits
  /// @param scales weights per row; masked and invalid rows get zero gradient whatever their scales
  /// @param output may be the policy logits themselves
  /// Cost: one read of both shards, one write.
  /// @throws InvalidArgument on every rank of the group, if shapes are wrong; if kl_reverse is weighted in a row where
  ///         it is infinite; or jensen_shannon in a row that was not evaluated with QuantitySet::all
  /// @throws InvalidData on every rank of the group, if its ranks disagree about rows, inputs, which scales are given, or
  ///         the output's type
  void gradient(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                std::span<const TokenStats> tokens, const RowScales& scales, const GradientView& output,
                StreamRef stream);

  /// Adds rows to `sums`. Each rank of the vocabulary group adds its owned_rows(), so sums are complete only after
  /// reduce(). No communication.
  /// @throws InvalidArgument if sizes differ; a sequence id that is out of range makes reduce() throw
  void accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, StepSums& sums);

  /// Statistics over all ranks, the same on every rank. Collective over the world: one grouped integer exchange.
  /// @throws InvalidData on every rank, naming rank, row and column of the first invalid row; or if no token was
  ///         counted anywhere
  /// @param skip_invalid report rows with invalid logits in `invalid_rows` instead; targets still fail
  StepStatistics reduce(const StepSums& sums, bool skip_invalid = false);

  /// Sums in the memory that the engine works in, the host's too; nothing is added yet.
  /// @param sequences, quantities as StepSums takes them
  DeviceStepSums make_device_sums(std::int64_t sequences = 0, QuantitySet quantities = QuantitySet::core);
  /// Sums of no token again. Enqueued.
  void clear(DeviceStepSums& sums, StreamRef stream);
  /// accumulate() on the device: enqueued, nothing is copied.
  void accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, DeviceStepSums& sums, StreamRef stream);
  /// reduce() of sums on the device: one grouped integer exchange, one copy to the host. The one call of the device's
  /// path that waits for the stream. `sums` stays as it is.
  /// @throws as reduce(); as DeviceMesh::wait(); InvalidArgument on every rank, if the sums of one are another back end's,
  ///         or its stream is none of the device or is being captured; InvalidData if some ranks reduce a StepSums
  StepStatistics reduce(DeviceStepSums& sums, bool skip_invalid, StreamRef stream);

 private:
  struct Impl;
  friend Engine make_engine(Mesh& mesh, const VocabShard& shard, std::unique_ptr<Backend> backend);
  explicit Engine(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace klmesh
