// The whole flow on GPUs, on every mesh that fits the ranks: against one GPU to the bit, against the host within its bars.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "engine/cuda/device_step.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
TEST(CudaEngine, SameBitsOnEveryMeshInBothSchedules) {
  const WorldBatch batch = world_batch({1e-5, 0.3, 3.0});
  const Result whole = run_alone(batch, everything(Schedule::gather));
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    DeviceMesh devices = make_nccl_mesh(mesh, own_device());
    for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
      const Result part = run(mesh, devices, batch, everything(schedule));
      EXPECT_EQ(differences(part.statistics, whole.statistics), "") << to_string(shape);
      expect_same_gradient(part, whole, shape);
      if (schedule == Schedule::gather) expect_same_tokens(part, whole, shape);
    }
  }
}

TEST(CudaEngine, CoreQuantitiesAlone) {
  const WorldBatch batch = world_batch({0.3});
  const Result whole = run_alone(batch, {});
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    DeviceMesh devices = make_nccl_mesh(mesh, own_device());
    for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
      const Result part = run(mesh, devices, batch, {.schedule = schedule});
      EXPECT_EQ(differences(part.statistics, whole.statistics), "") << to_string(shape);
      expect_same_gradient(part, whole, shape);
    }
  }
}

// The bars of fp32 input: 2e-6 of a divergence, 5e-7 of the others.
void expect_near(const TokenStats& got, const TokenStats& want) {
  EXPECT_NEAR(got.kl_reverse, want.kl_reverse, 2e-6 * want.kl_reverse);
  EXPECT_NEAR(got.kl_forward, want.kl_forward, 2e-6 * want.kl_forward);
  EXPECT_NEAR(got.entropy_policy, want.entropy_policy, 5e-7 * std::fmax(1.0, want.entropy_policy));
  EXPECT_NEAR(got.logp_policy, want.logp_policy, 5e-7 * std::fmax(1.0, std::fabs(want.logp_policy)));
  EXPECT_NEAR(got.chi_square, want.chi_square, 2e-6 * want.chi_square + 3e-7);
  EXPECT_NEAR(got.jensen_shannon, want.jensen_shannon, 2e-6 * want.jensen_shannon + 3e-7);
  EXPECT_NEAR(got.renyi, want.renyi, 2e-6 * want.renyi + 3e-7);
  EXPECT_EQ(got.same_top, want.same_top);
  EXPECT_EQ(got.flags, want.flags);
}

TEST(CudaEngine, AgreesWithTheHost) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  const WorldBatch batch = world_batch({1e-6, 1e-3, 0.3, 3.0});
  const Result device = run(mesh, devices, batch, everything(Schedule::gather));

  Engine engine(mesh, kVocab);
  const HostPart part(batch, engine.shard(), 0, 1);
  std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
  engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), everything(Schedule::gather), tokens,
                  host_stream);
  std::vector<float> gradient(static_cast<std::size_t>(part.rows * part.columns));
  const HostScales scales(tokens.size());
  engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), tokens, scales.all(),
                  gradient_view(gradient.data(), part.rows, part.columns), host_stream);

  const auto columns = static_cast<std::size_t>(part.columns);
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    SCOPED_TRACE("row " + std::to_string(row));
    expect_near(device.tokens[row], tokens[row]);
    float largest = 0.0f, error = 0.0f;
    for (std::size_t i = row * columns; i < (row + 1) * columns; ++i) {
      largest = std::fmax(largest, std::fabs(gradient[i]));
      error = std::fmax(error, std::fabs(device.gradient[i] - gradient[i]));
    }
    EXPECT_LE(error, 4e-6f * largest);
  }
}

// The words of the device's sums are the host's for the same tokens.
TEST(CudaEngine, SumsOnTheDeviceAreTheHostsToTheBit) {
  const WorldBatch batch = world_batch({0.3});
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    DeviceMesh devices = make_nccl_mesh(mesh, own_device());
    const Result device = run(mesh, devices, batch, everything(Schedule::by_rows));
    Engine engine = make_device_engine(mesh, devices, kVocab);
    const HostPart part(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
    StepSums sums(kSequences, QuantitySet::all);
    engine.accumulate(device.tokens, part.inputs(), sums);
    EXPECT_EQ(differences(device.statistics, engine.reduce(sums)), "") << to_string(shape);
  }
}

TEST(CudaEngine, MicroBatchesMergeAndSumsAreClearedForTheNextStep) {
  const WorldBatch batch = world_batch({0.3});
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    DeviceMesh devices = make_nccl_mesh(mesh, own_device());
    const StepStatistics want = run(mesh, devices, batch, {}).statistics;
    Engine engine = make_device_engine(mesh, devices, kVocab);
    DevicePart part(HostPart(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch));
    const TestStream stream;
    DeviceBuffer<TokenStats> tokens(static_cast<std::size_t>(part.rows));
    DeviceStepSums sums = engine.make_device_sums(kSequences);
    for (int step = 0; step < 2; ++step) {
      engine.clear(sums, stream.ref());
      for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 2}, {2, 2}, {2, part.rows}}) {
        const std::int64_t first = std::min(begin, part.rows), rows = std::max<std::int64_t>(0, std::min(end, part.rows) - first);
        const auto at = static_cast<std::size_t>(first), count = static_cast<std::size_t>(rows);
        const RowInputs inputs{.targets = part.targets.span().subspan(at, count),
                               .mask = part.mask.span().subspan(at, count),
                               .sequence = part.sequence.span().subspan(at, count)};
        const auto micro = tokens.span().subspan(at, count);
        engine.evaluate(logits_view(part.policy.span().data() + first * part.columns, rows, part.columns),
                        logits_view(part.reference.span().data() + first * part.columns, rows, part.columns), inputs,
                        micro, stream.ref());
        engine.accumulate(micro, inputs, sums, stream.ref());
      }
      EXPECT_EQ(differences(engine.reduce(sums, false, stream.ref()), want), "") << to_string(shape);
    }
  }
}

// Evaluates and reduces on `shape`; returns the message of the InvalidData that reduce() must end in.
std::string invalid_message(MeshShape shape, const WorldBatch& batch, std::int64_t sequences) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  Engine engine = make_device_engine(mesh, devices, kVocab);
  DevicePart part(HostPart(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch));
  const TestStream stream;
  DeviceBuffer<TokenStats> tokens(static_cast<std::size_t>(part.rows));
  DeviceStepSums sums = engine.make_device_sums(sequences);
  engine.clear(sums, stream.ref());
  engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), {.schedule = Schedule::by_rows},
                  tokens.span(), stream.ref());
  engine.accumulate(tokens.span(), part.inputs(), sums, stream.ref());
  try {
    engine.reduce(sums, false, stream.ref());
  } catch (const InvalidData& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(CudaEngine, InvalidRowsAreNamedOnEveryRank) {
  for (const MeshShape shape : meshes()) {
    WorldBatch not_a_number = world_batch({0.3}), bad_target = not_a_number;
    not_a_number.policy_at(2, 200) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT(invalid_message(shape, not_a_number, kSequences),
                AllOf(HasSubstr("row 2: policy logits hold NaN or +inf, first at column 200"), HasSubstr("rank ")));
    bad_target.targets[1] = kVocab;
    EXPECT_THAT(invalid_message(shape, bad_target, kSequences),
                HasSubstr("row 1: target " + std::to_string(kVocab) + " is not in [0, vocab_size)"));
    EXPECT_THAT(invalid_message(shape, world_batch({0.3}), 1), HasSubstr("is not in [0, sequences)"));
  }
}

TEST(CudaEngine, InvalidRowsAreSkippedWhereThatIsAskedFor) {
  WorldBatch batch = world_batch({0.3});
  batch.policy_at(2, 100) = std::numeric_limits<float>::infinity();
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  Engine engine = make_device_engine(mesh, devices, kVocab);
  DevicePart part(HostPart(batch, engine.shard(), 0, 1));
  const TestStream stream;
  DeviceBuffer<TokenStats> tokens(static_cast<std::size_t>(part.rows));
  DeviceStepSums sums = engine.make_device_sums(kSequences);
  engine.clear(sums, stream.ref());
  engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), tokens.span(), stream.ref());
  engine.accumulate(tokens.span(), part.inputs(), sums, stream.ref());
  const StepStatistics statistics = engine.reduce(sums, true, stream.ref());
  EXPECT_EQ(statistics.invalid_rows, 1);
  EXPECT_EQ(statistics.tokens + statistics.masked_tokens + statistics.invalid_rows, kRows);
  EXPECT_TRUE(std::isfinite(statistics[Quantity::kl_reverse].mean));
}

TEST(CudaEngine, WrongArgumentsThrowOnEveryRank) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  Engine engine = make_device_engine(mesh, devices, kVocab);
  DevicePart part(HostPart(world_batch({0.3}), engine.shard(), 0, 1));
  const TestStream stream;
  DeviceBuffer<TokenStats> tokens(static_cast<std::size_t>(part.rows));
  const auto evaluate = [&](Engine& on, LogitsView policy, StreamRef where) {
    on.evaluate(policy, part.reference_view(), part.inputs(), tokens.span(), where);
  };
  EXPECT_THROW(evaluate(engine, part.policy_view(), host_stream), InvalidArgument);
  LogitsView fewer = part.policy_view();
  if (world_rank() == world_size() - 1) --fewer.rows;
  EXPECT_THROW(evaluate(engine, fewer, stream.ref()), InvalidArgument);
  LogitsView scaled = part.policy_view();
  if (world_rank() == world_size() - 1) scaled.scale = 2.0;
  if (world_size() > 1) {
    EXPECT_THROW(evaluate(engine, scaled, stream.ref()), InvalidData);
  }
  Engine host_engine(mesh, kVocab);
  EXPECT_THROW(evaluate(host_engine, part.policy_view(), stream.ref()), InvalidArgument);
  DeviceStepSums host_sums = host_engine.make_device_sums();
  EXPECT_THROW(engine.clear(host_sums, stream.ref()), InvalidArgument);
  EXPECT_THROW(engine.make_device_sums(-1), InvalidArgument);
  evaluate(engine, part.policy_view(), stream.ref());  // and is as good as before
  devices.wait(stream.ref());
}

// @return what `work` throws as InvalidData
template <typename Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const InvalidData& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(CudaEngine, RanksOnDifferentBackEndsAreToldSo) {
  if (world_size() < 2) GTEST_SKIP() << "takes two";
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  const bool on_host = world_rank() == world_size() - 1;
  const std::string others = world_size() == 2 ? "rank 0" : "ranks 0-" + std::to_string(world_size() - 2);
  const std::string expected =
      "ranks disagree about back end: cuda on " + others + "; cpu on rank " + std::to_string(world_size() - 1);
  Engine host_engine(mesh, kVocab), engine = make_device_engine(mesh, devices, kVocab);
  const HostPart host(world_batch({0.3}), engine.shard(), 0, 1);
  DevicePart part(host);
  const TestStream stream;
  std::vector<TokenStats> host_tokens(static_cast<std::size_t>(host.rows));
  DeviceBuffer<TokenStats> tokens(host_tokens.size());
  EXPECT_EQ(message_of([&] {
              if (on_host) {
                host_engine.evaluate(host.policy_view(), host.reference_view(), host.inputs(), host_tokens, host_stream);
              } else {
                engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), tokens.span(), stream.ref());
              }
            }),
            expected);
  DeviceStepSums sums = engine.make_device_sums();
  engine.clear(sums, stream.ref());
  EXPECT_EQ(message_of([&] {
              if (on_host) {
                host_engine.reduce(StepSums());
              } else {
                engine.reduce(sums, false, stream.ref());
              }
            }),
            expected);
  devices.wait(stream.ref());
}

}  // namespace
}  // namespace klmesh::test
