// Makes an engine on the GPU that this rank takes; where no GPU answers, says so.
#include <klmesh/cuda.hpp>
#include <klmesh/device.hpp>
#include <klmesh/mpi.hpp>
#include <klmesh/nccl.hpp>

#include <cstdio>
#include <exception>

namespace {

void use_gpus(MPI_Comm world) {
  klmesh::Mesh mesh = klmesh::borrow_mesh(world, {.batch = 1, .vocab = 1});
  if (klmesh::devices().empty()) {
    std::puts("no GPU answers");
    return;
  }
  const int device = klmesh::bind_device(mesh.world(), klmesh::node_placement(world));
  klmesh::DeviceMesh devices = klmesh::make_nccl_mesh(mesh, device);
  const klmesh::Engine engine = klmesh::make_device_engine(mesh, devices, 50257);
  std::printf("device %d, %lld columns\n", device, static_cast<long long>(engine.shard().columns()));
}

}  // namespace

int main(int argc, char** argv) {
  if (MPI_Init(&argc, &argv) != MPI_SUCCESS) return 1;
  try {
    use_gpus(MPI_COMM_WORLD);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "consumer_cuda: %s\n", error.what());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  return MPI_Finalize() == MPI_SUCCESS ? 0 : 1;
}
