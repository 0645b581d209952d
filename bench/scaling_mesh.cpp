#include "scaling_mesh.hpp"

#include <array>

#include "comm/mpi_check.hpp"

namespace klmesh::bench {

ScalingMesh::ScalingMesh(MPI_Comm world, MeshShape shape) : world_(world) {
  int rank = 0;
  comm::check(MPI_Comm_rank(world, &rank), "MPI_Comm_rank");
  comm::check(MPI_Comm_split(world, rank / shape.vocab, rank, &vocab_), "MPI_Comm_split");
  comm::check(MPI_Comm_split(world, rank % shape.vocab, rank, &batch_), "MPI_Comm_split");
  mesh_.emplace(borrow_communicator(world_),
                std::make_unique<TimedCommunicator>(borrow_communicator(vocab_), vocab_times_),
                borrow_communicator(batch_));
}

ScalingMesh::~ScalingMesh() {
  mesh_.reset();
  static_cast<void>(MPI_Comm_free(&vocab_));  // a destructor has nobody to tell
  static_cast<void>(MPI_Comm_free(&batch_));
}

Parts over_ranks(MPI_Comm comm, const Parts& local) {
  std::array most = {local.compute, local.record, local.total};
  std::array least = {local.exchange, local.reduction};
  comm::check(MPI_Allreduce(MPI_IN_PLACE, most.data(), 3, MPI_DOUBLE, MPI_MAX, comm), "MPI_Allreduce");
  comm::check(MPI_Allreduce(MPI_IN_PLACE, least.data(), 2, MPI_DOUBLE, MPI_MIN, comm), "MPI_Allreduce");
  return {
      .compute = most[0], .exchange = least[0], .reduction = least[1], .record = most[1], .total = most[2]};
}

}  // namespace klmesh::bench
