// The flow of data, one function per arrow: evaluate, gradient, accumulate, reduce.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/statistics.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

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

  /// Computes the statistics of every row. Collective over the vocabulary group.
  ///
  /// @param policy, reference (rows, >= shard().columns()) logits of this rank's shard, of one dtype; further
  ///                          columns are padding and not read
  /// @param inputs targets, mask, sequence ids of the same rows, equal on all ranks of the group
  /// @param tokens (rows) output, the same bits on all ranks of the group; masked rows are zero
  /// @param stream host_stream: complete on return
  /// Cost: one read of both shards, one all-gather of 96 bytes a row and rank.
  /// @throws InvalidArgument on every rank of the group, if shapes are wrong
  /// @throws InvalidData on every rank of the group, if its ranks disagree about rows or inputs
  void evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                std::span<TokenStats> tokens, StreamRef stream);

  /// Writes or adds the gradient of the scaled objective with respect to this shard's policy logits. No exchange of
  /// data; collective over the vocabulary group for the agreement alone.
  ///
  /// @param tokens what evaluate() returned for the same logits
  /// @param scales weights per row; masked and invalid rows get zero gradient whatever their scales
  /// @param output may be the policy logits themselves
  /// Cost: one read of both shards, one write.
  /// @throws InvalidArgument on every rank of the group, if shapes are wrong, or kl_reverse is weighted in a row where
  ///         it is infinite
  void gradient(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                std::span<const TokenStats> tokens, const RowScales& scales, const GradientView& output,
                StreamRef stream);

  /// Adds rows to `sums`. Each rank of the vocabulary group adds its share of the rows, so sums are complete only
  /// after reduce(). No communication.
  void accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, StepSums& sums);

  /// Statistics over all ranks, the same on every rank. Collective over the world: one grouped integer exchange.
  /// @throws InvalidData on every rank, naming rank, row and column of the first invalid row; or if no token was
  ///         counted anywhere
  StepStatistics reduce(const StepSums& sums);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace klmesh
