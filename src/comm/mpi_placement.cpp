// Which ranks share a node, and the mesh that follows from it.
#include <numeric>
#include <vector>

#include "comm/mpi_check.hpp"
#include "comm/mpi_communicator.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh {
namespace {

/// Number of ranks of `world` on this rank's node. Collective.
int ranks_on_this_node(MPI_Comm world, int rank) {
  MPI_Comm node = MPI_COMM_NULL;
  comm::check(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node),
              "MPI_Comm_split_type");
  int ranks = 0;
  const int code = MPI_Comm_size(node, &ranks);
  comm::check(MPI_Comm_free(&node), "MPI_Comm_free");
  comm::check(code, "MPI_Comm_size");
  return ranks;
}

}  // namespace

MeshShape default_mesh_shape(MPI_Comm world) {
  const auto all = comm::MpiCommunicator::duplicate(world, {});
  all->barrier();  // has a deadline, which the split below has not
  const int here = ranks_on_this_node(all->handle(), all->rank());
  std::vector<int> per_node(static_cast<std::size_t>(all->size()));
  all->all_gather(std::as_bytes(std::span(&here, 1)), std::as_writable_bytes(std::span(per_node)));
  const int common =
      std::accumulate(per_node.begin(), per_node.end(), 0, [](int a, int b) { return std::gcd(a, b); });
  return default_mesh_shape(all->size(), common);
}

}  // namespace klmesh
