// Which ranks share a node, and the mesh that follows from it.
#include <numeric>
#include <vector>

#include "comm/mpi_check.hpp"
#include "comm/mpi_communicator.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh {
namespace {

/// Among those that share memory with this rank, ordered as in `world`. Collective.
NodePlacement placement_in(MPI_Comm world, int rank, OperationLog* log) {
  // Blocks for ever if somebody is missing: only a watchdog can end it.
  const OperationLog::Scope operation(log, "MPI_Comm_split_type");
  MPI_Comm node = MPI_COMM_NULL;
  comm::check(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node),
              "MPI_Comm_split_type");
  NodePlacement place;
  const int rank_code = MPI_Comm_rank(node, &place.rank);
  const int size_code = MPI_Comm_size(node, &place.ranks);
  comm::check(MPI_Comm_free(&node), "MPI_Comm_free");
  comm::check(rank_code, "MPI_Comm_rank");
  comm::check(size_code, "MPI_Comm_size");
  return place;
}

}  // namespace

NodePlacement node_placement(MPI_Comm world, const CommunicatorOptions& options) {
  const auto all = comm::MpiCommunicator::duplicate(world, options);
  all->barrier();  // has a deadline, which the split has not
  return placement_in(all->handle(), all->rank(), options.log);
}

MeshShape default_mesh_shape(MPI_Comm world, const CommunicatorOptions& options) {
  const auto all = comm::MpiCommunicator::duplicate(world, options);
  all->barrier();  // has a deadline, which the split below has not
  const int here = placement_in(all->handle(), all->rank(), options.log).ranks;
  std::vector<int> per_node(static_cast<std::size_t>(all->size()));
  all->all_gather(std::as_bytes(std::span(&here, 1)), std::as_writable_bytes(std::span(per_node)));
  const int common =
      std::accumulate(per_node.begin(), per_node.end(), 0, [](int a, int b) { return std::gcd(a, b); });
  return default_mesh_shape(all->size(), common);
}

}  // namespace klmesh
