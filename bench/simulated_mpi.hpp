// Included before every source of the simulated build: MPI calls that the simulator would get wrong.
//
// A poll costs simulated time (100 us unless told otherwise), so a poll waits. The simulator's own
// nonblocking reductions, broadcasts and barriers send to every rank in turn, which no MPI does. Open MPI's
// nonblocking all-reduce of less than 64 KB is a reduction and a broadcast along binomial trees, and so it is
// here (simulated.py names the trees); its nonblocking all-gathers and all-to-alls are linear, as the
// simulator's are.
#pragma once

#include <mpi.h>

namespace klmesh::simulated {

inline int test_all(int count, MPI_Request* requests, int* done, MPI_Status* statuses) {
  *done = 1;
  return MPI_Waitall(count, requests, statuses);
}

// In place, as klmesh calls it.
inline int all_reduce(const void*, void* data, int count, MPI_Datatype type, MPI_Op operation, MPI_Comm comm,
                      MPI_Request* request) {
  *request = MPI_REQUEST_NULL;
  int rank = 0;
  if (const int code = MPI_Comm_rank(comm, &rank); code != MPI_SUCCESS) return code;
  const int code = MPI_Reduce(rank == 0 ? MPI_IN_PLACE : data, data, count, type, operation, 0, comm);
  return code != MPI_SUCCESS ? code : MPI_Bcast(data, count, type, 0, comm);
}

inline int broadcast(void* data, int count, MPI_Datatype type, int root, MPI_Comm comm,
                     MPI_Request* request) {
  *request = MPI_REQUEST_NULL;
  return MPI_Bcast(data, count, type, root, comm);
}

inline int barrier(MPI_Comm comm, MPI_Request* request) {
  *request = MPI_REQUEST_NULL;
  return MPI_Barrier(comm);
}

// The simulator has no nonblocking duplication.
inline int duplicate(MPI_Comm comm, MPI_Comm* copy, MPI_Request* request) {
  *request = MPI_REQUEST_NULL;
  return MPI_Comm_dup(comm, copy);
}

}  // namespace klmesh::simulated

#define MPI_Testall klmesh::simulated::test_all
#define MPI_Iallreduce klmesh::simulated::all_reduce
#define MPI_Ibcast klmesh::simulated::broadcast
#define MPI_Ibarrier klmesh::simulated::barrier
#define MPI_Comm_idup klmesh::simulated::duplicate
