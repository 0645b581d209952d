// engine_fault_program FAULT N SCHEDULE: steps of a device engine on a 1xP mesh whose last rank commits FAULT (none, die,
// stall, fewer) at its N-th exchange over the vocabulary; SCHEDULE is gather or by_rows, both in two chunks of rows. Ends as
// the program does: 75 with one line a rank. A step that comes to an end has the host's kl_reverse, or "wrong number" is said.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "comm/nccl/faulty.hpp"
#include "engine/cuda/cuda_backend.hpp"
#include "engine/cuda/device_step.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

using testing_support::Fault;
using testing_support::FaultyCommunicator;

constexpr std::chrono::duration<double> kDeadline{2.0};

Fault fault_of(std::string_view name) {
  if (name == "die") return Fault::die;
  if (name == "stall") return Fault::stall;
  return name == "fewer" ? Fault::fewer : Fault::none;
}

// Where counts disagree, many bytes, of short rows: NCCL may bring few of them to an end.
WorldBatch batch_for(Fault fault) {
  if (fault != Fault::fewer) return world_batch({0.3});
  return {6'000, 8, kSequences, {0.3}};
}

std::unique_ptr<DeviceCommunicator> nccl(Communicator& host, const char* name) {
  return make_nccl_communicator(host, own_device(), {kDeadline, name});
}

// On the host, of the whole vocabulary.
double expected_kl_reverse(const WorldBatch& batch) {
  Mesh mesh = Mesh::self();
  Engine engine(mesh, batch.columns);
  const HostPart part(batch, engine.shard(), 0, 1);
  std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
  engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), tokens, host_stream);
  StepSums sums(kSequences);
  engine.accumulate(tokens, part.inputs(), sums);
  return engine.reduce(sums)[Quantity::kl_reverse].mean;
}

void run_steps(Fault fault, int at, Schedule schedule) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()}, {.deadline = kDeadline});
  const Fault mine = world_rank() == world_size() - 1 ? fault : Fault::none;
  DeviceMesh devices(mesh, nccl(mesh.world(), "the world"),
                     std::make_unique<FaultyCommunicator>(nccl(mesh.vocab(), "the vocabulary group"), mine, at),
                     nccl(mesh.batch(), "the batch group"), kDeadline);
  const WorldBatch batch = batch_for(fault);
  const VocabShard shard = vocab_shard(batch.columns, mesh.vocab_part(), mesh.shape().vocab);
  const ChunkLimits limits{.least_bytes = 1, .least_pairs = 1, .most_chunks = 2};
  Engine engine = make_engine(mesh, shard, make_cuda_backend(devices, shard, limits));
  const double expected = expected_kl_reverse(batch);
  DeviceStep step(engine, mesh, batch, {.schedule = schedule});
  const TestStream stream;
  for (int number = 0; number < 3; ++number) {
    step.enqueue(stream.ref());
    const double got = step.reduce(stream.ref())[Quantity::kl_reverse].mean;
    std::printf("%s number: kl_reverse %.17g\n", std::fabs(got - expected) <= 2e-6 * expected ? "right" : "wrong", got);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace klmesh::test

int main(int argc, char** argv) {
  if (argc != 4 || MPI_Init(&argc, &argv) != MPI_SUCCESS) return 64;
  const auto schedule = std::string_view(argv[3]) == "gather" ? klmesh::Schedule::gather : klmesh::Schedule::by_rows;
  try {
    klmesh::test::run_steps(klmesh::test::fault_of(argv[1]), std::atoi(argv[2]), schedule);
  } catch (const klmesh::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    std::fflush(stderr);
    ::_exit(75);  // MPI_Finalize would wait for peers that are gone
  }
  return MPI_Finalize() == MPI_SUCCESS ? 0 : 70;
}
