// nccl_fault_program FAULT N: exchanges in a world whose last rank commits FAULT (none, die, stall, fewer) at its N-th
// operation, which are all_gather, all_to_all and all_reduce in turn. Ends as the program does: 75 with one line a rank.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "comm/nccl/device_buffer.hpp"
#include "comm/nccl/faulty.hpp"
#include "comm/nccl/gpu_world.hpp"

namespace klmesh {
namespace {

using testing_support::DeviceBuffer;
using testing_support::Fault;

constexpr std::chrono::duration<double> kDeadline{2.0};
constexpr std::size_t kBlock = std::size_t{1} << 20;  // far more than NCCL has room for: what disagrees cannot end

Fault fault_of(const char* name) {
  if (std::strcmp(name, "die") == 0) return Fault::die;
  if (std::strcmp(name, "stall") == 0) return Fault::stall;
  return std::strcmp(name, "fewer") == 0 ? Fault::fewer : Fault::none;
}

void exchange(Fault fault, int at) {
  const bool faulty = testing_support::world_rank() == testing_support::world_size() - 1;
  testing_support::FaultyCommunicator group(testing_support::make_nccl_world({kDeadline, "the world"}),
                                            faulty ? fault : Fault::none, at);
  const testing_support::TestStream stream;
  const auto ranks = static_cast<std::size_t>(group.size());
  DeviceBuffer<std::byte> block(kBlock), all(ranks * kBlock), other(ranks * kBlock);
  DeviceBuffer<std::int64_t> sums(kBlock / sizeof(std::int64_t));
  for (int round = 0; round < 2; ++round) {
    group.all_gather(block.span(), all.span(), stream.ref());
    group.all_to_all(all.span(), other.span(), stream.ref());
    group.all_reduce(sums.span(), {}, stream.ref());
    group.wait(stream.ref());
  }
}

}  // namespace
}  // namespace klmesh

int main(int argc, char** argv) {
  if (argc != 3 || MPI_Init(&argc, &argv) != MPI_SUCCESS) return 64;
  try {
    klmesh::exchange(klmesh::fault_of(argv[1]), std::atoi(argv[2]));
  } catch (const klmesh::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    std::fflush(stderr);
    ::_exit(75);  // MPI_Finalize would wait for peers that are gone
  }
  return MPI_Finalize() == MPI_SUCCESS ? 0 : 70;
}
