// Chunks of rows that travel while others are computed: however many they are, the bits are those of one.
#include <gmock/gmock.h>

#include "engine/cuda/cuda_backend.hpp"
#include "engine/cuda/device_step.hpp"

namespace klmesh::test {
namespace {

constexpr ChunkLimits limits_of(int chunks) { return {.least_bytes = 1, .least_pairs = 1, .most_chunks = chunks}; }

Engine engine_of(Mesh& mesh, DeviceMesh& devices, int chunks) {
  const VocabShard shard = vocab_shard(kVocab, mesh.vocab_part(), mesh.shape().vocab);
  return make_engine(mesh, shard, make_cuda_backend(devices, shard, limits_of(chunks)));
}

void expect_same_bits(const EvaluateOptions& options) {
  const WorldBatch batch = world_batch({1e-5, 0.3, 3.0});
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    DeviceMesh devices = make_nccl_mesh(mesh, own_device());
    Engine whole = engine_of(mesh, devices, 1);
    const Result want = run(whole, mesh, batch, options);
    for (const int chunks : {2, 5}) {
      SCOPED_TRACE(std::to_string(chunks) + " chunks on " + to_string(shape));
      Engine engine = engine_of(mesh, devices, chunks);
      const Result got = run(engine, mesh, batch, options);
      EXPECT_EQ(differences(got.statistics, want.statistics), "");
      ASSERT_EQ(got.tokens.size(), want.tokens.size());
      EXPECT_EQ(std::memcmp(got.tokens.data(), want.tokens.data(), want.tokens.size() * sizeof(TokenStats)), 0);
      EXPECT_EQ(std::memcmp(got.gradient.data(), want.gradient.data(), want.gradient.size() * sizeof(float)), 0);
    }
  }
}

TEST(Overlap, SameBitsOfEverythingWhereEveryRankFinishesEveryRow) { expect_same_bits(everything(Schedule::gather)); }
TEST(Overlap, SameBitsOfEverythingByRows) { expect_same_bits(everything(Schedule::by_rows)); }
TEST(Overlap, SameBitsOfCoreQuantities) {
  expect_same_bits({.schedule = Schedule::gather});
  expect_same_bits({.schedule = Schedule::by_rows});
}

// Both streams and the events between them last: the next call may not overtake the one before it.
TEST(Overlap, CallsFollowEachOther) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  Engine whole = engine_of(mesh, devices, 1), engine = engine_of(mesh, devices, 3);
  const EvaluateOptions options = everything(Schedule::by_rows);
  const WorldBatch first = world_batch({0.3}), second = world_batch({1.0});
  const Result want_first = run(whole, mesh, first, options), want_second = run(whole, mesh, second, options);
  DeviceStep step_first(engine, mesh, first, options), step_second(engine, mesh, second, options);
  const TestStream stream;
  step_first.enqueue(stream.ref());
  step_second.enqueue(stream.ref());
  step_first.enqueue(stream.ref());
  EXPECT_EQ(differences(step_second.reduce(stream.ref()), want_second.statistics), "");
  EXPECT_EQ(differences(step_first.reduce(stream.ref()), want_first.statistics), "");
}

// There is one workspace: what comes on another stream may not overtake it.
TEST(Overlap, CallsOnSeveralStreamsFollowEachOther) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  for (const EvaluateOptions& options : {everything(Schedule::by_rows), EvaluateOptions{.schedule = Schedule::gather}}) {
    Engine engine = engine_of(mesh, devices, 2);
    const WorldBatch first = world_batch({0.3}), second = world_batch({1.0});
    const Result want_first = run(engine, mesh, first, options), want_second = run(engine, mesh, second, options);
    DeviceStep step_first(engine, mesh, first, options), step_second(engine, mesh, second, options);
    const TestStream stream, other;
    for (int round = 0; round < 2; ++round) {
      step_first.enqueue(stream.ref());
      step_second.enqueue(other.ref());
    }
    EXPECT_EQ(differences(step_second.reduce(other.ref()), want_second.statistics), "");
    EXPECT_EQ(differences(step_first.reduce(stream.ref()), want_first.statistics), "");
  }
}

// plan() makes room for fewer rows too, although these may travel by the schedule that needs more.
TEST(Overlap, AfterAPlanNothingGrows) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  Engine engine = make_device_engine(mesh, devices, kVocab);
  const std::int64_t most = 16384 / world_size();
  engine.plan(most + 1, {});
  const std::size_t planned = engine.workspace_bytes();
  engine.plan(most, {});
  engine.plan(1, {});
  EXPECT_EQ(engine.workspace_bytes(), planned);
}

}  // namespace
}  // namespace klmesh::test
