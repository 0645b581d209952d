// loop_fault_program FAULT N: steps of phase 3 on a 1xP mesh of GPUs, then texts for people to read, where the last rank
// commits FAULT (none, die, stall, fewer) at its N-th exchange over the vocabulary. Ends as the program does: 75 with one line
// a rank. What unwinding frees must not wait for an exchange that a lost peer never ends.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "comm/nccl/faulty.hpp"
#include "comm/nccl/gpu_world.hpp"
#include "klmesh/error.hpp"
#include "loop/cuda/cuda_ops.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/rlhf_phase.hpp"
#include "loop/sampler.hpp"

namespace klmesh::loop {
namespace {

using testing_support::Fault;
using testing_support::FaultyCommunicator;

constexpr std::chrono::duration<double> kDeadline{5.0};
constexpr std::int64_t kVocab = 200;

Fault fault_of(std::string_view name) {
  if (name == "die") return Fault::die;
  if (name == "stall") return Fault::stall;
  return name == "fewer" ? Fault::fewer : Fault::none;
}

std::unique_ptr<DeviceCommunicator> nccl(Communicator& host, const char* name) {
  return make_nccl_communicator(host, testing_support::own_device(), {kDeadline, name});
}

DeviceMesh faulty_mesh(Mesh& mesh, Fault fault, int at) {
  const Fault mine = world_rank() == world_size() - 1 ? fault : Fault::none;
  return DeviceMesh(mesh, nccl(mesh.world(), "the world"),
                    std::make_unique<FaultyCommunicator>(nccl(mesh.vocab(), "the vocabulary group"), mine, at),
                    nccl(mesh.batch(), "the batch group"), kDeadline);
}

void run(Fault fault, int at) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()}, {.deadline = kDeadline});
  HostOps host(mesh);
  cuda::CudaOps ops(mesh, faulty_mesh(mesh, fault, at));
  TrainConfig config;
  config.model = {.context = 2, .embedding = 6, .hidden = 10};
  config.rlhf.sequences = 8;
  config.rlhf.length = 3;
  Engine engine = ops.make_engine(kVocab);
  const Policy reference(ops, config.model, kVocab, config.seed, {});
  RewardModel reward(host, kVocab, config.reward, config.adam);
  for (std::size_t w = 0; w < reward.scores().size(); w += 2) reward.scores()[w] = 1;
  Sampler sampler(ops);
  RlhfPhase phase(engine, reference, reward, Penalty::exact_reward, config,
                  [&](const Policy& policy, const SampleRequest& request, SampleBatch& batch) {
                    sampler.sample(policy, request, batch);
                  });
  for (int step = 0; step < 2; ++step) {
    const double kl = (*phase.step().statistics)[Quantity::kl_reverse].mean;
    std::printf("%s number: kl_reverse %.17g\n", std::isfinite(kl) && kl < 1 ? "right" : "wrong", kl);
    std::fflush(stdout);
  }
  static_cast<void>(sample_sequences(phase.policy(), {0, 3, config.rlhf.length, config.seed, 0}));
}

}  // namespace
}  // namespace klmesh::loop

int main(int argc, char** argv) {
  if (argc != 3 || MPI_Init(&argc, &argv) != MPI_SUCCESS) return 64;
  try {
    klmesh::loop::run(klmesh::loop::fault_of(argv[1]), std::atoi(argv[2]));
  } catch (const klmesh::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    std::fflush(stderr);
    ::_exit(75);  // MPI_Finalize would wait for peers that are gone
  }
  return MPI_Finalize() == MPI_SUCCESS ? 0 : 70;
}
