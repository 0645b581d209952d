// Targets, masks and sequence ids in device memory that are not the same on the ranks of a vocabulary group: no number, but
// an error on every rank that says so.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "engine/cuda/cuda_backend.hpp"
#include "engine/cuda/device_step.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What one rank, the last of its vocabulary group in the first batch part, is given in place of the batch.
using Change = std::function<void(HostPart&)>;

struct Outcome {
  std::string message;           // of reduce(), or "nothing was thrown"
  std::vector<float> gradient;   // of this rank
  std::vector<TokenStats> tokens;
};

Outcome run_changed(MeshShape shape, Schedule schedule, int chunks, const Change& change) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  const VocabShard shard = vocab_shard(kVocab, mesh.vocab_part(), shape.vocab);
  const ChunkLimits limits{.least_bytes = 1, .least_pairs = 1, .most_chunks = chunks};
  Engine engine = make_engine(mesh, shard, make_cuda_backend(devices, shard, limits));
  HostPart part(world_batch({0.3}), shard, mesh.batch_part(), shape.batch);
  if (mesh.batch_part() == 0 && mesh.vocab_part() == shape.vocab - 1) change(part);
  DeviceStep step(engine, part, {.schedule = schedule});
  const TestStream stream;
  step.enqueue(stream.ref());
  Outcome outcome;
  try {
    step.reduce(stream.ref());
    outcome.message = "nothing was thrown";
  } catch (const InvalidData& error) {
    outcome.message = error.what();
  }
  outcome.gradient = step.gradient();
  outcome.tokens = step.tokens();
  return outcome;
}

std::vector<MeshShape> meshes_with_parts() {
  std::vector<MeshShape> shapes = meshes();
  std::erase_if(shapes, [](MeshShape shape) { return shape.vocab < 2; });
  return shapes;
}

void expect_noticed(const char* what, const Change& change) {
  for (const MeshShape shape : meshes_with_parts()) {
    for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
      for (const int chunks : {1, 3}) {
        EXPECT_THAT(run_changed(shape, schedule, chunks, change).message,
                    AllOf(HasSubstr("rank "), HasSubstr("evaluate: targets, mask or sequence ids"),
                          HasSubstr("differ between ranks 0 and " + std::to_string(shape.vocab - 1))))
            << what << " on " << to_string(shape);
      }
    }
  }
}

TEST(InputsDiffer, AreNoticedWhateverDiffers) {
  expect_noticed("a target", [](HostPart& part) { ++part.targets[1]; });
  expect_noticed("two targets changed places", [](HostPart& part) { std::swap(part.targets[0], part.targets[1]); });
  expect_noticed("a sequence id", [](HostPart& part) { part.sequence[2] ^= 1; });
  expect_noticed("a row more", [](HostPart& part) { part.mask[3 % part.mask.size()] ^= 1; });
  expect_noticed("all rows masked", [](HostPart& part) { part.mask.assign(part.mask.size(), 0); });
}

// Rows that nobody looks at may hold anything.
TEST(InputsDiffer, AreNotLookedAtBehindTheMask) {
  for (const MeshShape shape : meshes_with_parts()) {
    if (shape.batch > 2) continue;
    const auto change = [](HostPart& part) {
      EXPECT_EQ(part.mask[3], 0);
      part.targets[3] = -5;
      part.sequence[3] = 99;
    };
    EXPECT_EQ(run_changed(shape, Schedule::gather, 2, change).message, "nothing was thrown") << to_string(shape);
    EXPECT_EQ(run_changed(shape, Schedule::by_rows, 2, change).message, "nothing was thrown") << to_string(shape);
  }
}

// The rows of other chunks keep their numbers; those of the chunk have none, and no gradient.
TEST(InputsDiffer, LeaveNoNumberBehind) {
  if (world_size() < 2) GTEST_SKIP() << "takes two";
  const Outcome outcome =
      run_changed({1, world_size()}, Schedule::gather, 3, [](HostPart& part) { ++part.targets[1]; });  // chunks of 3 rows
  const std::size_t columns = outcome.gradient.size() / outcome.tokens.size();
  for (std::size_t row = 0; row < 3; ++row) {
    EXPECT_TRUE(std::isnan(outcome.tokens[row].kl_reverse)) << row;
    EXPECT_TRUE(std::isnan(outcome.tokens[row].k1)) << row;
    EXPECT_TRUE(outcome.tokens[row].invalid_target()) << row;
    EXPECT_THAT(std::span(outcome.gradient).subspan(row * columns, columns), testing::Each(0.0f)) << row;
  }
  EXPECT_TRUE(std::isfinite(outcome.tokens[4].kl_reverse));
  EXPECT_TRUE(std::isfinite(outcome.tokens[8].k1));
}

}  // namespace
}  // namespace klmesh::test
