#include "gpu_headline.hpp"

#include <mpi.h>

#include <algorithm>
#include <chrono>

#include "comm/mpi_check.hpp"
#include "engine/cuda/memory.hpp"
#include "engine/cuda/owned_stream.hpp"
#include "engine/exchange_plan.hpp"
#include "klmesh/cuda.hpp"

namespace klmesh::bench {
namespace {

RowRange rows_of_rank(Mesh& mesh, const HeadlineShape& shape) {
  return block_of_rows(shape.rows(), mesh.batch_part(), mesh.shape().batch);
}

// A chunk's logits in device memory; they come round, so there are few of them.
struct DeviceSlot {
  DeviceMemory policy, reference;
};

// One rank's batch on its GPU.
class DeviceBatch {
 public:
  DeviceBatch(const HeadlineBatch& host, const HeadlineShape& shape, RowRange rows) : host_(&host), shape_(shape) {
    const std::int64_t slots = std::min(shape.ring, host.chunks());
    for (std::int64_t i = 0; i < slots; ++i) {
      slots_.push_back({});
      copy(slots_.back().policy, host.policy(i).data, bytes(host.policy(i)));
      copy(slots_.back().reference, host.reference(i).data, bytes(host.reference(i)));
    }
    std::vector<std::int64_t> targets, sequence;
    for (std::int64_t chunk = 0; chunk < host.chunks(); ++chunk) {
      const RowInputs inputs = host.inputs(chunk);
      targets.insert(targets.end(), inputs.targets.begin(), inputs.targets.end());
      sequence.insert(sequence.end(), inputs.sequence.begin(), inputs.sequence.end());
    }
    copy(targets_, targets.data(), targets.size() * sizeof(std::int64_t));
    copy(sequence_, sequence.data(), sequence.size() * sizeof(std::int64_t));
    tokens_.reserve(static_cast<std::size_t>(std::max<std::int64_t>(1, std::min(rows.size(), shape.chunk_rows))) * sizeof(TokenStats));
  }

  void enqueue(Engine& engine, std::int64_t chunk, DeviceStepSums& sums, StreamRef stream) {
    const DeviceSlot& slot = slots_[static_cast<std::size_t>(chunk) % slots_.size()];
    LogitsView policy = host_->policy(chunk), reference = host_->reference(chunk);
    policy.data = slot.policy.data();
    reference.data = slot.reference.data();
    const auto count = static_cast<std::size_t>(policy.rows);
    const std::size_t skip = static_cast<std::size_t>(chunk * shape_.chunk_rows) * sizeof(std::int64_t);
    const RowInputs inputs{.targets = targets_.at<std::int64_t>(skip, count), .mask = {},
                           .sequence = sequence_.at<std::int64_t>(skip, count)};
    const auto tokens = tokens_.at<TokenStats>(0, count);
    engine.evaluate(policy, reference, inputs, tokens, stream);
    engine.accumulate(tokens, inputs, sums, stream);
  }

 private:
  static std::size_t bytes(const LogitsView& view) {
    return static_cast<std::size_t>(view.rows * view.columns) * dtype_bytes(view.dtype);
  }
  static void copy(DeviceMemory& to, const void* from, std::size_t bytes) {
    to.reserve(bytes);
    cuda::check(cudaMemcpy(to.data(), from, bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
  }

  const HeadlineBatch* host_;
  HeadlineShape shape_;
  std::vector<DeviceSlot> slots_;
  DeviceMemory targets_, sequence_, tokens_;
};

}  // namespace

GpuHeadline run_gpu_headline(Mesh& mesh, DeviceMesh& devices, const HeadlineShape& shape, int repeats) {
  const RowRange rows = rows_of_rank(mesh, shape);
  const HeadlineBatch host(shape, rows, mesh.batch_part());
  DeviceBatch batch(host, shape, rows);
  Engine engine = make_device_engine(mesh, devices, shape.vocab_size);
  engine.plan(shape.chunk_rows, {});
  DeviceStepSums sums = engine.make_device_sums(shape.batch);
  const OwnedStream stream;
  GpuHeadline result;
  for (int repeat = 0; repeat <= repeats; ++repeat) {  // the first one warms up
    comm::check(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
    const auto begin = std::chrono::steady_clock::now();
    engine.clear(sums, stream.ref());
    for (std::int64_t chunk = 0; chunk < host.chunks(); ++chunk) batch.enqueue(engine, chunk, sums, stream.ref());
    result.statistics = engine.reduce(sums, false, stream.ref());
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    comm::check(MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD), "MPI_Allreduce");
    if (repeat > 0) result.seconds.push_back(seconds);
  }
  return result;
}

StepStatistics host_headline(Mesh& mesh, const HeadlineShape& shape) {
  const HeadlineBatch batch(shape, rows_of_rank(mesh, shape), mesh.batch_part());
  Engine engine(mesh, shape.vocab_size);
  StepSums sums(shape.batch);
  std::vector<TokenStats> tokens(static_cast<std::size_t>(shape.chunk_rows));
  for (std::int64_t chunk = 0; chunk < batch.chunks(); ++chunk) {
    const auto rows = std::span(tokens).first(static_cast<std::size_t>(batch.rows_of(chunk)));
    engine.evaluate(batch.policy(chunk), batch.reference(chunk), batch.inputs(chunk), rows, host_stream);
    engine.accumulate(rows, batch.inputs(chunk), sums);
  }
  return engine.reduce(sums);
}

}  // namespace klmesh::bench
