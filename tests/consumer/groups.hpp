// The communicators of the host: a tensor-parallel group and a group over which rows are split, made as trainers do.
#pragma once

#include <mpi.h>

#include <source_location>

namespace consumer {

/// @throws std::runtime_error naming the call, unless `code` is MPI_SUCCESS
void check(int code, const char* call, std::source_location where = std::source_location::current());

int rank_of(MPI_Comm comm);
int size_of(MPI_Comm comm);

/// Owns two communicators that split `world` into a grid. The batch part runs fastest in the order of the world, unlike
/// in the meshes that klmesh makes itself.
class Groups {
 public:
  Groups(MPI_Comm world, int vocab_parts);
  ~Groups();
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;

  MPI_Comm vocab() const { return vocab_; }
  MPI_Comm batch() const { return batch_; }

 private:
  MPI_Comm vocab_ = MPI_COMM_NULL;
  MPI_Comm batch_ = MPI_COMM_NULL;
};

}  // namespace consumer
