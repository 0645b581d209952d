#include "groups.hpp"

#include <stdexcept>
#include <string>

namespace consumer {

void check(int code, const char* call, std::source_location where) {
  if (code == MPI_SUCCESS) return;
  throw std::runtime_error(std::string(call) + " failed at line " + std::to_string(where.line()));
}

int rank_of(MPI_Comm comm) {
  int rank = 0;
  check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  return rank;
}

int size_of(MPI_Comm comm) {
  int size = 0;
  check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  return size;
}

Groups::Groups(MPI_Comm world, int vocab_parts) {
  const int batch_parts = size_of(world) / vocab_parts;
  const int rank = rank_of(world);
  check(MPI_Comm_split(world, rank % batch_parts, rank, &vocab_), "MPI_Comm_split");
  check(MPI_Comm_split(world, rank / batch_parts, rank, &batch_), "MPI_Comm_split");
}

Groups::~Groups() {
  // A destructor cannot throw; MPI_COMM_WORLD's handler ends the job if this fails.
  static_cast<void>(MPI_Comm_free(&vocab_));
  static_cast<void>(MPI_Comm_free(&batch_));
}

}  // namespace consumer
