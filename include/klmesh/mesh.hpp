// The BxV mesh: ranks split over the batch (rows) and the vocabulary (columns).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "klmesh/communicator.hpp"

namespace klmesh {

/// Batch parts x vocabulary parts.
struct MeshShape {
  int batch = 1;
  int vocab = 1;

  constexpr int ranks() const noexcept { return batch * vocab; }
  friend constexpr bool operator==(MeshShape, MeshShape) = default;
};

/// Reads "BxV", for example "2x4".
/// @throws InvalidArgument, naming the text, unless both are positive decimal numbers, V <= 64 and B * V is
/// an int
MeshShape parse_mesh_shape(std::string_view text);

/// "2x4".
std::string to_string(MeshShape shape);

/// The largest power of two (at most 64) that divides `ranks_per_node` goes to the vocabulary, the rest to
/// the batch.
/// @param ranks          ranks in all
/// @param ranks_per_node greatest common divisor of the numbers of ranks on the nodes
/// @throws InvalidArgument unless both are positive
MeshShape default_mesh_shape(int ranks, int ranks_per_node);

/// Three groups of ranks: the world, the vocabulary group that shares this rank's rows, and the batch group
/// that shares this rank's columns. Rank order: vocabulary fastest, world rank = batch part * V + vocabulary
/// part. Move-only; owns its communicators.
class Mesh {
 public:
  /// The mesh of one process, 1x1.
  static Mesh self();

  /// Assembles a mesh of communicators that are already made.
  /// @throws InvalidArgument if one is null, or unless the sizes and ranks fit the order above; on this rank
  /// alone
  Mesh(std::unique_ptr<Communicator> world, std::unique_ptr<Communicator> vocab,
       std::unique_ptr<Communicator> batch);

  MeshShape shape() const noexcept { return {batch_->size(), vocab_->size()}; }
  int batch_part() const noexcept { return batch_->rank(); }
  int vocab_part() const noexcept { return vocab_->rank(); }

  Communicator& world() noexcept { return *world_; }
  Communicator& vocab() noexcept { return *vocab_; }
  Communicator& batch() noexcept { return *batch_; }

 private:
  std::unique_ptr<Communicator> world_;
  std::unique_ptr<Communicator> vocab_;
  std::unique_ptr<Communicator> batch_;
};

}  // namespace klmesh
