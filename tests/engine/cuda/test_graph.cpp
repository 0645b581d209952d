// A step in a CUDA graph: captured once, it runs again on new logits and gives the bits of a step that is not captured.
#include <gmock/gmock.h>

#include "engine/cuda/cuda_backend.hpp"
#include "engine/cuda/device_step.hpp"
#include "klmesh/error.hpp"

namespace klmesh::test {
namespace {

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

/// Counts the host's exchanges.
class CountingCommunicator final : public Communicator {
 public:
  CountingCommunicator(std::unique_ptr<Communicator> inner, int& count) : inner_(std::move(inner)), count_(&count) {}
  int rank() const noexcept override { return inner_->rank(); }
  int size() const noexcept override { return inner_->size(); }
  void all_gather(std::span<const std::byte> send, std::span<std::byte> receive) override {
    ++*count_;
    inner_->all_gather(send, receive);
  }
  void all_to_all(std::span<const std::byte> send, std::span<std::byte> receive) override {
    ++*count_;
    inner_->all_to_all(send, receive);
  }
  void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) override {
    ++*count_;
    inner_->all_reduce(sums, maxima);
  }
  void broadcast(std::span<std::byte> data, int root) override {
    ++*count_;
    inner_->broadcast(data, root);
  }
  void barrier() override {
    ++*count_;
    inner_->barrier();
  }

 private:
  std::unique_ptr<Communicator> inner_;
  int* count_;
};

Mesh counted_mesh(MeshShape shape, int& count) {
  MPI_Comm vocab = MPI_COMM_NULL, batch = MPI_COMM_NULL;
  const int batch_part = world_rank() / shape.vocab, vocab_part = world_rank() % shape.vocab;
  EXPECT_EQ(MPI_Comm_split(MPI_COMM_WORLD, batch_part, vocab_part, &vocab), MPI_SUCCESS);
  EXPECT_EQ(MPI_Comm_split(MPI_COMM_WORLD, vocab_part, batch_part, &batch), MPI_SUCCESS);
  Mesh mesh(borrow_communicator(MPI_COMM_WORLD),
            std::make_unique<CountingCommunicator>(borrow_communicator(vocab), count), borrow_communicator(batch));
  EXPECT_EQ(MPI_Comm_free(&vocab), MPI_SUCCESS);
  EXPECT_EQ(MPI_Comm_free(&batch), MPI_SUCCESS);
  return mesh;
}

// @param chunks more than one: the exchanges are on a stream that is forked off the captured one
void expect_replays(const EvaluateOptions& options, int chunks) {
  const WorldBatch first = world_batch({0.3}), second = world_batch({1e-4, 1.0});
  for (const MeshShape shape : meshes()) {
    SCOPED_TRACE(to_string(shape));
    int exchanges = 0;
    Mesh mesh = counted_mesh(shape, exchanges);
    DeviceMesh devices = make_nccl_mesh(mesh, own_device());
    const VocabShard shard = vocab_shard(kVocab, mesh.vocab_part(), shape.vocab);
    const ChunkLimits limits{.least_bytes = 1, .least_pairs = 1, .most_chunks = chunks};
    Engine engine = make_engine(mesh, shard, make_cuda_backend(devices, shard, limits));
    const Result want = run(engine, mesh, second, options);

    const HostPart later(second, shard, mesh.batch_part(), shape.batch);
    DeviceStep step(engine, mesh, first, options);
    const TestStream stream;
    exchanges = 0;
    Graph graph(stream, [&] { step.enqueue(stream.ref()); });
    EXPECT_EQ(exchanges, 2);  // evaluate() and gradient() agree while they are captured
    graph.launch(stream);
    devices.wait(stream.ref());
    step.part().policy.copy_from(later.policy);
    step.part().reference.copy_from(later.reference);
    graph.launch(stream);
    devices.wait(stream.ref());
    EXPECT_EQ(exchanges, 2);  // and no more when they run
    const Result got = step.result(stream.ref());
    EXPECT_EQ(differences(got.statistics, want.statistics), "");
    EXPECT_EQ(std::memcmp(got.tokens.data(), want.tokens.data(), want.tokens.size() * sizeof(TokenStats)), 0);
    EXPECT_EQ(std::memcmp(got.gradient.data(), want.gradient.data(), want.gradient.size() * sizeof(float)), 0);
  }
}

TEST(Graph, ReplaysAStepOfCoreQuantities) {
  expect_replays({.schedule = Schedule::gather}, 1);
  expect_replays({.schedule = Schedule::by_rows}, 1);
}

TEST(Graph, ReplaysAStepOfEverythingInChunks) {
  expect_replays(everything(Schedule::gather), 3);
  expect_replays(everything(Schedule::by_rows), 2);
}

// What would have to wait says so, and the capture goes on.
TEST(Graph, RefusesToWaitWhileItIsCaptured) {
  const WorldBatch batch = world_batch({0.3});
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  Engine engine = make_device_engine(mesh, devices, kVocab);
  const Result want = run(engine, mesh, batch, {});
  DeviceStep step(engine, mesh, batch, {});
  const TestStream stream;
  Graph graph(stream, [&] {
    step.enqueue(stream.ref());
    EXPECT_THROW(devices.wait(stream.ref()), InvalidArgument);
    EXPECT_THROW(step.reduce(stream.ref()), InvalidArgument);
  });
  graph.launch(stream);
  EXPECT_EQ(differences(step.reduce(stream.ref()), want.statistics), "");
}

// What ranks were given is compared on the device, in every run of the graph.
TEST(Graph, ReplaysNoticeInputsThatDiffer) {
  if (world_size() < 2) GTEST_SKIP() << "takes two";
  const WorldBatch batch = world_batch({0.3});
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  DeviceMesh devices = make_nccl_mesh(mesh, own_device());
  Engine engine = make_device_engine(mesh, devices, kVocab);
  DeviceStep step(engine, mesh, batch, {});
  const TestStream stream;
  Graph graph(stream, [&] { step.enqueue(stream.ref()); });
  graph.launch(stream);
  EXPECT_GT(step.reduce(stream.ref()).tokens, 0);
  std::vector<std::int64_t> targets = batch.targets;
  if (world_rank() == world_size() - 1) ++targets[4];
  step.part().targets.copy_from(targets);
  graph.launch(stream);
  EXPECT_THROW(step.reduce(stream.ref()), InvalidData);
}

}  // namespace
}  // namespace klmesh::test
