// A step of an engine on GPUs, from logits to statistics, and how two of them are compared.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "comm/nccl/gpu_world.hpp"
#include "engine/cuda/device_batch.hpp"
#include "klmesh/cuda.hpp"

namespace klmesh::test {

using testing_support::own_device;
using testing_support::TestStream;
using testing_support::world_rank;
using testing_support::world_size;

struct Result {
  std::vector<TokenStats> tokens;
  std::vector<float> gradient;
  StepStatistics statistics;
  std::int64_t first_row = 0;
  VocabShard shard;
};

/// Of each differentiable quantity, in the order of RowScales.
inline constexpr std::array<double, 5> kScales = {0.3, 0.2, -0.7, 0.1, 0.4};

/// Weights of `rows` rows.
struct HostScales {
  std::array<std::vector<double>, 5> values;

  explicit HostScales(std::size_t rows) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i].assign(rows, kScales[i]);
  }
  RowScales all() const {
    return {.kl_reverse = values[0], .kl_forward = values[1], .logp_policy = values[2], .entropy_policy = values[3],
            .jensen_shannon = values[4]};
  }
};

inline EvaluateOptions everything(Schedule schedule) {
  return {.quantities = QuantitySet::all, .schedule = schedule, .renyi_alpha = 0.5};
}

/// What a step works on, all of it on the device.
class DeviceStep {
 public:
  DeviceStep(Engine& engine, Mesh& mesh, const WorldBatch& batch, const EvaluateOptions& options)
      : DeviceStep(engine, HostPart(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch), options) {}

  DeviceStep(Engine& engine, const HostPart& host, const EvaluateOptions& options)
      : engine_(&engine),
        options_(options),
        part_(host),
        first_row_(host.first_row),
        tokens_(static_cast<std::size_t>(host.rows)),
        gradient_(static_cast<std::size_t>(host.rows * host.columns)),
        weights_{weights(host.rows, 0), weights(host.rows, 1), weights(host.rows, 2), weights(host.rows, 3),
                 weights(host.rows, 4)},
        sums_(engine.make_device_sums(kSequences, options.quantities)) {
    engine.plan(host.rows, options);
  }

  DevicePart& part() { return part_; }

  /// Nothing waits.
  void enqueue(StreamRef stream) {
    RowScales scales{.kl_reverse = weights_[0].span(), .kl_forward = weights_[1].span(),
                     .logp_policy = weights_[2].span(), .entropy_policy = weights_[3].span(), .jensen_shannon = {}};
    if (options_.quantities == QuantitySet::all) scales.jensen_shannon = weights_[4].span();
    engine_->clear(sums_, stream);
    engine_->evaluate(part_.policy_view(), part_.reference_view(), part_.inputs(), options_, tokens_.span(), stream);
    engine_->gradient(part_.policy_view(), part_.reference_view(), part_.inputs(), tokens_.span(), scales,
                      gradient_view(gradient_.span().data(), part_.rows, part_.columns), stream);
    engine_->accumulate(tokens_.span(), part_.inputs(), sums_, stream);
  }

  std::vector<TokenStats> tokens() const { return tokens_.host(); }
  std::vector<float> gradient() const { return gradient_.host(); }
  StepStatistics reduce(StreamRef stream) { return engine_->reduce(sums_, false, stream); }

  /// Waits in reduce() alone.
  Result result(StreamRef stream) {
    Result r;
    r.statistics = reduce(stream);
    r.tokens = tokens();
    r.gradient = gradient();
    r.first_row = first_row_;
    r.shard = engine_->shard();
    return r;
  }

 private:
  static DeviceBuffer<double> weights(std::int64_t rows, std::size_t i) {
    const HostScales scales(static_cast<std::size_t>(rows));
    return DeviceBuffer<double>(std::span<const double>(scales.values[i]));
  }

  Engine* engine_;
  EvaluateOptions options_;
  DevicePart part_;
  std::int64_t first_row_;
  DeviceBuffer<TokenStats> tokens_;
  DeviceBuffer<float> gradient_;
  std::array<DeviceBuffer<double>, 5> weights_;
  DeviceStepSums sums_;
};

inline Result run(Engine& engine, Mesh& mesh, const WorldBatch& batch, const EvaluateOptions& options) {
  DeviceStep step(engine, mesh, batch, options);
  const std::size_t planned = engine.workspace_bytes();
  const TestStream stream;
  step.enqueue(stream.ref());
  Result r = step.result(stream.ref());
  EXPECT_EQ(engine.workspace_bytes(), planned);
  return r;
}

inline Result run(Mesh& mesh, DeviceMesh& devices, const WorldBatch& batch, const EvaluateOptions& options) {
  Engine engine = make_device_engine(mesh, devices, kVocab);
  return run(engine, mesh, batch, options);
}

inline Result run_alone(const WorldBatch& batch, const EvaluateOptions& options) {
  Mesh mesh = Mesh::self();
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  return run(mesh, devices, batch, options);
}

/// All that fit the ranks.
inline std::vector<MeshShape> meshes() {
  std::vector<MeshShape> shapes;
  for (int vocab = 1; vocab <= world_size(); ++vocab) {
    if (world_size() % vocab == 0) shapes.push_back({world_size() / vocab, vocab});
  }
  return shapes;
}

/// The quantities whose statistics differ in a bit, by name; and the counts.
inline std::string differences(const StepStatistics& a, const StepStatistics& b) {
  std::string names;
  if (std::memcmp(&a, &b, offsetof(StepStatistics, quantities)) != 0) names += "counts ";
  for (int i = 0; i < kQuantities; ++i) {
    const auto q = static_cast<Quantity>(i);
    if (std::memcmp(&a[q], &b[q], sizeof a[q]) != 0) names += std::string(name(q)) + " ";
  }
  return names;
}

inline void expect_same_gradient(const Result& part, const Result& whole, MeshShape shape) {
  const auto columns = static_cast<std::size_t>(part.shard.columns());
  for (std::size_t i = 0; i < part.tokens.size(); ++i) {
    const std::size_t row = i + static_cast<std::size_t>(part.first_row);
    const float* const want = whole.gradient.data() + row * kVocab + part.shard.begin;
    EXPECT_EQ(std::memcmp(part.gradient.data() + i * columns, want, columns * sizeof(float)), 0)
        << "row " << row << " on " << to_string(shape);
  }
}

inline void expect_same_tokens(const Result& part, const Result& whole, MeshShape shape) {
  for (std::size_t i = 0; i < part.tokens.size(); ++i) {
    const std::size_t row = i + static_cast<std::size_t>(part.first_row);
    EXPECT_EQ(std::memcmp(&part.tokens[i], &whole.tokens[row], sizeof(TokenStats)), 0)
        << "row " << row << " on " << to_string(shape);
  }
}

}  // namespace klmesh::test
