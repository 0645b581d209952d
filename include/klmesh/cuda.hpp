// The engine on GPUs. In builds with CUDA (klmesh::cuda); no CUDA header is needed.
#pragma once

#include <cstdint>

#include "klmesh/device_mesh.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh {

/// An engine whose calls work on this rank's GPU, with the same flow and the same bits on every mesh of whole subtrees; they
/// differ from the host's within the error bars.
///
/// All that its calls are given is memory that the device can read: data, row lists, the spans of inputs, scales and
/// tokens; streams are streams of the device. Calls are enqueued, and nothing waits for the device but reduce() of
/// DeviceStepSums. Ranks agree about shapes and options on the host, while the device works; what lies in device memory
/// is judged there, row by row, as invalid rows are: a target out of range makes its row invalid, a sequence id out of
/// range makes reduce() throw. That targets, mask and row lists are the same on all ranks of a vocabulary group, and
/// that no row list points out of its memory, is up to the caller. Weights of kl_reverse in rows where it is infinite
/// are not refused.
/// The workspace belongs to one evaluate() at a time: calls on several streams must be ordered by the caller.
/// @param mesh, devices must outlive the engine; the device of `devices` must be current in calls
/// @throws InvalidArgument as Engine's constructor does
Engine make_device_engine(Mesh& mesh, DeviceMesh& devices, std::int64_t vocab_size);

}  // namespace klmesh
