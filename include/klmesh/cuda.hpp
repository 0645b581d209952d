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
/// range makes reduce() throw. So do targets, masks or sequence ids of evaluate() that are not the same on all ranks of a
/// vocabulary group: a digest of them travels with the partials, and rows whose digests differ are invalid, have no gradient,
/// and make reduce() throw on every rank. That gradient() and accumulate() are given the inputs of evaluate(), that row lists
/// are the same on all ranks of a group, and that none points out of its memory, is up to the caller. Weights of kl_reverse
/// in rows where it is infinite are not refused.
///
/// Where rows and vocabulary parts are many, evaluate() works in chunks of rows: one is exchanged, on a stream of the
/// engine's own, while the next is computed on the caller's, and events make the caller's stream wait for all of them. The
/// number of chunks follows from the shape alone and changes no bit. The workspace belongs to one evaluate() at a time:
/// calls on several streams run one after the other, in the order in which they are made. Not so what is captured: a replay
/// beside another evaluate() of the engine must be ordered by the caller.
///
/// After plan() for at least these rows and options, evaluate(), gradient(), clear() and accumulate() may be captured in a
/// CUDA graph, the exchange and its stream included: they put work on the stream and do nothing else there. Ranks agree on
/// the host once, while they capture, which is collective as the calls are; a replay agrees on nothing, and all ranks of the
/// world must replay the same graphs in the same order. What is in device memory may be another at each replay and is judged
/// anew, digests included; shapes, pointers and scales are those of the capture. reduce() waits, so it is called outside.
/// A replay is no operation that errors could name: they speak of the last one that was enqueued by itself. Graphs must be
/// destroyed before `devices`: NCCL does not end a group while one that captured it is alive. Where this is not so, or a peer
/// is lost during a replay, groups are left to a thread of their own after a while.
/// @param mesh, devices must outlive the engine; the device of `devices` must be current in calls
/// @throws InvalidArgument as Engine's constructor does
Engine make_device_engine(Mesh& mesh, DeviceMesh& devices, std::int64_t vocab_size);

}  // namespace klmesh
