// The GPUs of this process, and the one that a rank takes. In builds with CUDA; no CUDA header is needed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "klmesh/communicator.hpp"
#include "klmesh/placement.hpp"

namespace klmesh {

/// A GPU that this process may use; CUDA_VISIBLE_DEVICES decides which those are, and their numbers.
struct DeviceInfo {
  int index = 0;  ///< what cudaSetDevice takes
  std::string name;
  std::int64_t memory_bytes = 0;
  int compute_major = 0;
  int compute_minor = 0;
  std::array<unsigned char, 16> uuid{};  ///< the same GPU has the same one in every process
};

/// All of them; empty if no GPU answers, for whatever reason (no driver, none visible).
std::vector<DeviceInfo> devices();

/// Takes one GPU for this rank and makes it the current device of the calling thread. Collective over `world`.
///
/// Local rank r takes the r-th GPU that it sees, or, where a launcher lets each rank see but its own, the one.
/// @param place this rank among those of its node: node_placement() of mpi.hpp
/// @return the device's index
/// @throws BackendUnavailable on every rank, if one sees no GPU, or one that this build has no code for, or two
///         ranks would share one
/// @throws CudaError (klmesh::Error on the other ranks) if a GPU cannot be set up
int bind_device(Communicator& world, NodePlacement place);

}  // namespace klmesh
