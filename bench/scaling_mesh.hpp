// A mesh whose vocabulary group keeps time, and the MPI communicators of the same groups for the baseline.
#pragma once

#include <mpi.h>

#include <optional>

#include "klmesh/mpi.hpp"
#include "timed_communicator.hpp"

namespace klmesh::bench {

/// Not movable: the communicators hold on to its clocks. Making and destroying it is collective over `world`.
class ScalingMesh {
 public:
  /// @param world borrowed; shape.ranks() ranks
  ScalingMesh(MPI_Comm world, MeshShape shape);
  ~ScalingMesh();
  ScalingMesh(const ScalingMesh&) = delete;
  ScalingMesh& operator=(const ScalingMesh&) = delete;

  Mesh& mesh() { return *mesh_; }
  const CommunicationTimes& vocab_times() const { return vocab_times_; }
  MPI_Comm world() const { return world_; }
  MPI_Comm vocab() const { return vocab_; }
  MPI_Comm batch() const { return batch_; }

 private:
  MPI_Comm world_;
  MPI_Comm vocab_ = MPI_COMM_NULL, batch_ = MPI_COMM_NULL;
  CommunicationTimes vocab_times_;
  std::optional<Mesh> mesh_;
};

/// Where the time of a step went, seconds.
struct Parts {
  double compute = 0;    ///< passes over the logits, and summing up tokens
  double exchange = 0;   ///< over the vocabulary group
  double reduction = 0;  ///< of the step's statistics
  double record = 0;     ///< writing the file, on rank 0
  double total = 0;

  /// What ranks waited for each other, and what else there is.
  double rest() const { return total - compute - exchange - reduction - record; }
};

/// Of all ranks of `comm`: the most for computing and in total; the least for communicating, which is that of
/// the rank that came last and waited for nobody.
Parts over_ranks(MPI_Comm comm, const Parts& local);

}  // namespace klmesh::bench
