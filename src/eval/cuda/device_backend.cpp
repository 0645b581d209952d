// Evaluations on GPUs: each chunk goes there, its tokens come back.
#include "eval/device_backend.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "comm/agreement.hpp"
#include "engine/cuda/owned_stream.hpp"
#include "eval/cuda/staged_chunk.hpp"
#include "klmesh/cuda.hpp"
#include "klmesh/device.hpp"
#include "klmesh/nccl.hpp"

namespace klmesh::eval {
namespace {

class DeviceEvaluator final : public ChunkEvaluator {
 public:
  DeviceEvaluator(Mesh& mesh, std::shared_ptr<DeviceMesh> devices, std::int64_t vocab_size)
      : mesh_(&mesh), devices_(std::move(devices)), engine_(make_device_engine(mesh, *devices_, vocab_size)) {}

  const Engine& engine() const noexcept override { return engine_; }

  void evaluate(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                const EvaluateOptions& options, std::span<TokenStats> tokens) override {
    const StreamRef stream = stream_.ref();
    // A GPU without room is its own rank's matter; the others must not wait for its partials.
    agree(mesh_->vocab(), "copying logits to the GPU", static_cast<std::uint64_t>(policy.rows), failure_of([&] {
            chunk_.upload(policy, reference, inputs, stream);
            engine_.plan(policy.rows, options);
          }));
    engine_.evaluate(chunk_.policy(), chunk_.reference(), chunk_.inputs(), options, chunk_.tokens(), stream);
    chunk_.download(stream);
    devices_->wait(stream);
    std::ranges::copy(chunk_.downloaded(), tokens.begin());
  }

 private:
  Mesh* mesh_;
  std::shared_ptr<DeviceMesh> devices_;
  Engine engine_;
  StagedChunk chunk_;
  OwnedStream stream_;
};

}  // namespace

bool has_device_backend() noexcept { return true; }

std::vector<std::string> describe_devices() {
  std::vector<std::string> lines;
  for (const DeviceInfo& device : devices()) {
    lines.push_back(fmt::format("{}: {}, {:.1f} GiB, compute capability {}.{}", device.index, device.name,
                                static_cast<double>(device.memory_bytes) / (1 << 30), device.compute_major,
                                device.compute_minor));
  }
  return lines;
}

EvalBackend device_backend(Mesh& mesh, NodePlacement place, std::chrono::duration<double> deadline,
                           OperationLog* log) {
  const int device = bind_device(mesh.world(), place);
  const auto devices = std::make_shared<DeviceMesh>(make_nccl_mesh(mesh, device, {.deadline = deadline, .log = log}));
  return {"cuda", [devices](Mesh& on, std::int64_t vocab_size) -> std::unique_ptr<ChunkEvaluator> {
            std::unique_ptr<ChunkEvaluator> evaluator;
            agree(on.world(), "setting up the GPU", 0, failure_of([&] {
                    evaluator = std::make_unique<DeviceEvaluator>(on, devices, vocab_size);
                  }));
            return evaluator;
          }};
}

}  // namespace klmesh::eval
