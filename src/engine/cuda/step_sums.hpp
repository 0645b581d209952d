// A step's exact sums on the device, and their way to the host.
#pragma once

#include <cstdint>

#include "core/cuda/accumulate.hpp"
#include "engine/backend.hpp"
#include "engine/cuda/memory.hpp"
#include "klmesh/device_mesh.hpp"

namespace klmesh {

/// Words laid out as StepSums', the record of the first invalid row, and scratch of the same size for the reduction.
class CudaStepSums final : public DeviceStepSums::Storage {
 public:
  /// Allocates on the current device; clear() before use.
  CudaStepSums(std::int64_t sequences, QuantitySet quantities);

  /// Of `sums`, which must be a GPU back end's.
  /// @throws InvalidArgument if they are another back end's
  static CudaStepSums& of(DeviceStepSums& sums);

  void clear(StreamRef stream);
  void accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, RowRange rows, StreamRef stream);
  /// Collective over the world: one grouped exchange, one copy to the host. Blocks until it is there. The words stay what
  /// they say, and have room for 2^31 tokens more.
  ReducedWords reduce(DeviceMesh& devices, StreamRef stream);

 private:
  SumLayout layout_;
  DeviceMemory words_;    // sum words, max words, InvalidRecord
  DeviceMemory scratch_;  // the same, reduced over the world; the record stays this rank's
  PinnedMemory host_;     // a copy of scratch_
};

}  // namespace klmesh
