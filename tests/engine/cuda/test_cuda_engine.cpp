// The whole flow on GPUs, on every mesh that fits the ranks: against one GPU to the bit, against the host within its bars.
#include <gmock/gmock.h>

#include <cmath>
#include <cstddef>
#include <cstring>

#include "comm/nccl/gpu_world.hpp"
#include "engine/cuda/device_batch.hpp"
#include "klmesh/cuda.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing_support::own_device;
using testing_support::TestStream;
using testing_support::world_rank;
using testing_support::world_size;

constexpr double kScales[] = {0.3, 0.2, -0.7, 0.1, 0.4};

struct Result {
  std::vector<TokenStats> tokens;
  std::vector<float> gradient;
  StepStatistics statistics;
  std::int64_t first_row = 0;
  VocabShard shard;
};

RowScales scales_of(std::vector<double> (&values)[5], std::size_t rows) {
  for (int i = 0; i < 5; ++i) values[i].assign(rows, kScales[i]);
  return {.kl_reverse = values[0], .kl_forward = values[1], .logp_policy = values[2], .entropy_policy = values[3],
          .jensen_shannon = values[4]};
}

std::vector<MeshShape> meshes() {
  std::vector<MeshShape> shapes;
  for (int vocab = 1; vocab <= world_size(); ++vocab) {
    if (world_size() % vocab == 0) shapes.push_back({world_size() / vocab, vocab});
  }
  return shapes;
}

EvaluateOptions everything(Schedule schedule) {
  return {.quantities = QuantitySet::all, .schedule = schedule, .renyi_alpha = 0.5};
}

// evaluate, gradient, accumulate and reduce on the device; nothing waits before reduce().
Result run(Mesh& mesh, DeviceMesh& devices, const WorldBatch& batch, const EvaluateOptions& options) {
  Engine engine = make_device_engine(mesh, devices, kVocab);
  const HostPart host(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
  DevicePart part(host);
  const TestStream stream;
  const auto rows = static_cast<std::size_t>(part.rows);
  DeviceBuffer<TokenStats> tokens(rows);
  DeviceBuffer<float> gradient(rows * static_cast<std::size_t>(part.columns));
  std::vector<double> values[5];
  const RowScales host_scales = scales_of(values, rows);
  DeviceBuffer<double> reverse(host_scales.kl_reverse), forward(host_scales.kl_forward), logp(host_scales.logp_policy),
      entropy(host_scales.entropy_policy), mixture(host_scales.jensen_shannon);
  RowScales scales{.kl_reverse = reverse.span(), .kl_forward = forward.span(), .logp_policy = logp.span(),
                   .entropy_policy = entropy.span(), .jensen_shannon = {}};
  if (options.quantities == QuantitySet::all) scales.jensen_shannon = mixture.span();

  engine.plan(part.rows, options);
  const std::size_t planned = engine.workspace_bytes();
  DeviceStepSums sums = engine.make_device_sums(kSequences, options.quantities);
  engine.clear(sums, stream.ref());
  engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), options, tokens.span(), stream.ref());
  engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), tokens.span(), scales,
                  gradient_view(gradient.span().data(), part.rows, part.columns), stream.ref());
  engine.accumulate(tokens.span(), part.inputs(), sums, stream.ref());
  Result r;
  r.statistics = engine.reduce(sums, false, stream.ref());
  r.tokens = tokens.host();
  r.gradient = gradient.host();
  r.first_row = host.first_row;
  r.shard = engine.shard();
  EXPECT_EQ(engine.workspace_bytes(), planned);
  return r;
}

Result run_alone(const WorldBatch& batch, const EvaluateOptions& options) {
  Mesh mesh = Mesh::self();
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  return run(mesh, devices, batch, options);
}

/// The quantities whose statistics differ in a bit, by name; and the counts.
std::string differences(const StepStatistics& a, const StepStatistics& b) {
  std::string names;
  if (std::memcmp(&a, &b, offsetof(StepStatistics, quantities)) != 0) names += "counts ";
  for (int i = 0; i < kQuantities; ++i) {
    const auto q = static_cast<Quantity>(i);
    if (std::memcmp(&a[q], &b[q], sizeof a[q]) != 0) names += std::string(name(q)) + " ";
  }
  return names;
}

void expect_same_gradient(const Result& part, const Result& whole, MeshShape shape) {
  const auto columns = static_cast<std::size_t>(part.shard.columns());
  for (std::size_t i = 0; i < part.tokens.size(); ++i) {
    const std::size_t row = i + static_cast<std::size_t>(part.first_row);
    const float* const want = whole.gradient.data() + row * kVocab + part.shard.begin;
    EXPECT_EQ(std::memcmp(part.gradient.data() + i * columns, want, columns * sizeof(float)), 0)
        << "row " << row << " on " << to_string(shape);
  }
}

TEST(CudaEngine, SameBitsOnEveryMeshInBothSchedules) {
  const WorldBatch batch({1e-5, 0.3, 3.0});
  const Result whole = run_alone(batch, everything(Schedule::gather));
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    DeviceMesh devices = make_nccl_mesh(mesh, own_device());
    for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
      const Result part = run(mesh, devices, batch, everything(schedule));
      EXPECT_EQ(differences(part.statistics, whole.statistics), "") << to_string(shape);
      expect_same_gradient(part, whole, shape);
      if (schedule == Schedule::by_rows) continue;
      for (std::size_t i = 0; i < part.tokens.size(); ++i) {
        const std::size_t row = i + static_cast<std::size_t>(part.first_row);
        EXPECT_EQ(std::memcmp(&part.tokens[i], &whole.tokens[row], sizeof(TokenStats)), 0)
            << "row " << row << " on " << to_string(shape);
      }
    }
  }
}

TEST(CudaEngine, CoreQuantitiesAlone) {
  const WorldBatch batch({0.3});
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
  const WorldBatch batch({1e-6, 1e-3, 0.3, 3.0});
  const Result device = run(mesh, devices, batch, everything(Schedule::gather));

  Engine engine(mesh, kVocab);
  const HostPart part(batch, engine.shard(), 0, 1);
  std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
  engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), everything(Schedule::gather), tokens,
                  host_stream);
  std::vector<float> gradient(static_cast<std::size_t>(part.rows * part.columns));
  std::vector<double> values[5];
  engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), tokens, scales_of(values, tokens.size()),
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
  const WorldBatch batch({0.3});
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
  const WorldBatch batch({0.3});
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

/// A CUDA graph of what `work` puts on the stream.
class Graph {
 public:
  template <typename Work>
  Graph(const TestStream& stream, Work&& work) {
    testing_support::expect_cuda(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
    work();
    testing_support::expect_cuda(cudaStreamEndCapture(stream.get(), &graph_));
    testing_support::expect_cuda(cudaGraphInstantiate(&executable_, graph_, 0));
  }
  ~Graph() {
    static_cast<void>(cudaGraphExecDestroy(executable_));
    static_cast<void>(cudaGraphDestroy(graph_));
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(const TestStream& stream) { testing_support::expect_cuda(cudaGraphLaunch(executable_, stream.get())); }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

// After plan() a step is nothing but work on a stream: captured once, it runs again on new logits.
TEST(CudaEngine, IsCapturedInAGraph) {
  const WorldBatch first({0.3}), second({1.0});
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    DeviceMesh devices = make_nccl_mesh(mesh, own_device());
    const StepStatistics want = run(mesh, devices, second, {.schedule = Schedule::by_rows}).statistics;
    Engine engine = make_device_engine(mesh, devices, kVocab);
    const HostPart later(second, engine.shard(), mesh.batch_part(), mesh.shape().batch);
    DevicePart part(HostPart(first, engine.shard(), mesh.batch_part(), mesh.shape().batch));
    const TestStream stream;
    DeviceBuffer<TokenStats> tokens(static_cast<std::size_t>(part.rows));
    DeviceStepSums sums = engine.make_device_sums(kSequences);
    const EvaluateOptions options{.schedule = Schedule::by_rows};
    engine.plan(part.rows, options);
    Graph graph(stream, [&] {
      engine.clear(sums, stream.ref());
      engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), options, tokens.span(), stream.ref());
      engine.accumulate(tokens.span(), part.inputs(), sums, stream.ref());
    });
    graph.launch(stream);
    devices.wait(stream.ref());
    part.policy.copy_from(later.policy);
    part.reference.copy_from(later.reference);
    graph.launch(stream);
    EXPECT_EQ(differences(engine.reduce(sums, false, stream.ref()), want), "") << to_string(shape);
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
    WorldBatch not_a_number({0.3}), bad_target({0.3});
    not_a_number.policy_at(2, 200) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT(invalid_message(shape, not_a_number, kSequences),
                AllOf(HasSubstr("row 2: policy logits hold NaN or +inf, first at column 200"), HasSubstr("rank ")));
    bad_target.targets[1] = kVocab;
    EXPECT_THAT(invalid_message(shape, bad_target, kSequences),
                HasSubstr("row 1: target " + std::to_string(kVocab) + " is not in [0, vocab_size)"));
    EXPECT_THAT(invalid_message(shape, WorldBatch({0.3}), 1), HasSubstr("is not in [0, sequences)"));
  }
}

TEST(CudaEngine, InvalidRowsAreSkippedWhereThatIsAskedFor) {
  WorldBatch batch({0.3});
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
  DevicePart part(HostPart(WorldBatch({0.3}), engine.shard(), 0, 1));
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
  EXPECT_THROW(host_engine.make_device_sums(), InvalidArgument);
  EXPECT_THROW(engine.make_device_sums(-1), InvalidArgument);
  evaluate(engine, part.policy_view(), stream.ref());  // and is as good as before
  devices.wait(stream.ref());
}

}  // namespace
}  // namespace klmesh::test
