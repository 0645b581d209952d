// Whether this build has code for a GPU.
#pragma once

namespace klmesh::comm {

/// Of the current device: true if its kernels can be loaded there. Loads one, of which there is nothing to run.
/// @throws CudaError if the device fails for another reason
bool has_code_for_device();

}  // namespace klmesh::comm
