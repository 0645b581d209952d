// MPI communicators and meshes. The only public header that includes <mpi.h>.
#pragma once

#include <mpi.h>

#include <chrono>
#include <memory>

#include "klmesh/communicator.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/placement.hpp"
#include "klmesh/operation_log.hpp"

namespace klmesh {

/// How long any wait may last before it counts as a hang.
///
/// A deadline that passed leaves a collective behind that MPI cannot cancel. The host may go on to save its
/// state, but should end with MPI_Abort: MPI_Finalize waits for peers that are gone.
struct CommunicatorOptions {
  /// Seconds, for every single exchange; must be positive. Need not be equal on all ranks.
  /// Time during which this process was stopped (suspended jobs) does not count.
  std::chrono::duration<double> deadline{300.0};
  /// Told of every operation, for a watchdog; may be null. Borrowed: must outlive the communicators.
  OperationLog* log = nullptr;
};

/// Borrows `comm`: duplicates it, and sets MPI_ERRORS_RETURN on the duplicate alone. Collective over `comm`.
/// MPI must be initialised by the caller, and is never initialised or finalised here.
/// @throws InvalidArgument on this rank, if `comm` is MPI_COMM_NULL or an intercommunicator or MPI is not
/// running;
///         InvalidArgument on every rank, if the options of one are wrong; MpiError if MPI fails;
///         DeadlineExceeded if a rank of `comm` does not come
std::unique_ptr<Communicator> borrow_communicator(MPI_Comm comm, const CommunicatorOptions& options = {});

/// Borrows `world` and splits it into a BxV mesh. Collective over `world`.
/// @throws InvalidArgument on every rank, unless shape.ranks() is the size of `world` and 1 <= V <= 64;
///         InvalidData on every rank, if the shapes or the versions of this library differ, naming values and
///         ranks; as borrow_communicator() does
Mesh borrow_mesh(MPI_Comm world, MeshShape shape, const CommunicatorOptions& options = {});

/// Borrows a trainer's own groups: its tensor-parallel group, and the group over which rows are split (data x
/// context parallel). The world of the mesh is made of these two; other ranks of the job never enter.
/// Collective over the union of the groups, which must form a full grid: the vocabulary part of a rank is its
/// rank in `vocab`, the batch part its rank in `batch`. The world has no communicator of its own: its
/// operations are one in the vocabulary group and one in the batch group.
/// @throws InvalidArgument on every rank of a group whose members do not form a grid, or if V > 64;
///         InvalidData on every rank of a row or column whose versions of this library differ; as
///         borrow_communicator() does
Mesh borrow_mesh(MPI_Comm vocab, MPI_Comm batch, const CommunicatorOptions& options = {});

/// The default shape for the ranks of `world`: see default_mesh_shape(). Collective over `world`.
MeshShape default_mesh_shape(MPI_Comm world, const CommunicatorOptions& options = {});

/// This rank among those of its node: the ranks that share its memory. Collective over `world`.
NodePlacement node_placement(MPI_Comm world, const CommunicatorOptions& options = {});

}  // namespace klmesh
