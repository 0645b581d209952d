// Where a chunk of rows is computed: the one thing in which an evaluation on GPUs differs from one on the host.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "klmesh/engine.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh::eval {

/// Evaluates chunks that lie in the host's memory.
class ChunkEvaluator {
 public:
  virtual ~ChunkEvaluator() = default;

  /// For shard(), owned_rows() and reproducible().
  virtual const Engine& engine() const noexcept = 0;

  /// As Engine::evaluate(), with all that is given in the host's memory; complete on return. Collective over the
  /// vocabulary group.
  /// @throws as Engine::evaluate(); on a GPU also CudaError, and what DeviceMesh::wait() throws
  virtual void evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                        const EvaluateOptions& options, std::span<TokenStats> tokens) = 0;
};

/// A back end that evaluations may run on.
struct EvalBackend {
  std::string name;  ///< "cpu" or "cuda", as reports call it
  /// Collective over the world of the mesh, which must outlive the evaluator, as must this.
  std::function<std::unique_ptr<ChunkEvaluator>(Mesh& mesh, std::int64_t vocab_size)> make_evaluator;
};

/// The host's cores.
EvalBackend host_backend();

}  // namespace klmesh::eval
