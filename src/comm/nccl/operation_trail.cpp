#include "comm/nccl/operation_trail.hpp"

#include "comm/nccl/capture.hpp"
#include "core/cuda/cuda_check.hpp"

namespace klmesh::comm {

OperationTrail::OperationTrail() {
  for (Mark& mark : marks_) {
    cuda::check(cudaEventCreateWithFlags(&mark.event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
}

OperationTrail::~OperationTrail() {
  for (Mark& mark : marks_) static_cast<void>(cudaEventDestroy(mark.event));  // a destructor has nobody to tell
}

void OperationTrail::begin(const char* name) {
  last_ = {name, last_.sequence + 1};
  open_ = true;
}

void OperationTrail::end(StreamRef stream) {
  if (is_capturing(stream)) {
    captured_ = true;
  } else {
    Mark& mark = marks_[last_.sequence % kMarks];
    cuda::check(cudaEventRecord(mark.event, cuda::native(stream)), "cudaEventRecord");
    mark.operation = last_;
    mark.stream = stream.get();
  }
  open_ = false;
}

void OperationTrail::note_done(StreamRef stream) noexcept {
  for (Mark& mark : marks_) {
    if (mark.stream == stream.get()) mark.operation = {};
  }
}

OperationTrail::Operation OperationTrail::first_unfinished() const noexcept {
  Operation first = open_ ? last_ : Operation{};
  for (const Mark& mark : marks_) {
    if (mark.operation.sequence == 0 || cudaEventQuery(mark.event) == cudaSuccess) continue;
    static_cast<void>(cudaGetLastError());  // "not ready" stays the last error otherwise
    if (first.sequence == 0 || mark.operation.sequence < first.sequence) first = mark.operation;
  }
  return first;
}

}  // namespace klmesh::comm
