// The model's layers on a GPU against the host's, on every mesh: equal bits where values are copied, else as near as
// single precision allows.
#include "loop/cuda/both_ops.hpp"

namespace klmesh::loop {
namespace {

constexpr std::int64_t kVocab = 211, kContext = 3, kEmbedding = 7, kHidden = 33, kPadding = 5;
constexpr std::int64_t kInputs = kContext * kEmbedding;

// Products sum at most 211 terms of about 1 in fp32, in different orders: sqrt(211) 2^-24 of the largest partial sum,
// about 20 here, is 2e-5 at worst.
constexpr double kTolerance = 2e-5;

/// A model's tensors and a batch, the same on every rank; a shard's part where sharded.
struct Inputs {
  VocabShard shard;
  std::int64_t rows, first_row, columns;
  std::vector<float> embeddings, weights, hidden_bias, head, head_bias, dlogits;
  std::vector<std::int32_t> contexts;

  Inputs(Mesh& mesh, std::int64_t batch_rows)
      : shard(vocab_shard(kVocab, mesh.vocab_part(), mesh.shape().vocab)),
        rows(batch_rows),
        first_row(40 + 100 * mesh.batch_part()),
        columns(shard.columns() + kPadding),
        embeddings(of_shard(normals(kVocab * kEmbedding, 1), kEmbedding)),
        weights(normals(kInputs * kHidden, 2)),
        hidden_bias(normals(kHidden, 3)),
        head(of_shard(normals(kVocab * kHidden, 4), kHidden)),
        head_bias(of_shard(normals(kVocab, 5), 1)) {
    head.resize(static_cast<std::size_t>(columns * kHidden), 0.1f);
    head_bias.resize(static_cast<std::size_t>(columns), 60.0f);
    for (std::int64_t i = 0; i < rows * kContext; ++i)
      contexts.push_back(static_cast<std::int32_t>((i * i + 31 * mesh.batch_part()) % kVocab));
    const std::vector<float> all = normals(rows * kVocab, 6 + static_cast<unsigned>(mesh.batch_part()));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c)  // padding is garbage, which must never be read
        dlogits.push_back(c < shard.columns() ? 0.1f * all[static_cast<std::size_t>(r * kVocab + shard.begin + c)] : NAN);
    }
  }
  std::vector<float> of_shard(const std::vector<float>& all, std::int64_t width) const {
    return {all.begin() + shard.begin * width, all.begin() + shard.end * width};
  }
};

/// The same on a back end, and what the layers make of it.
struct Layers {
  TensorOps& ops;
  RowFrame frame;
  Buffer<float> embeddings, weights, hidden_bias, head, head_bias, dlogits;
  Buffer<std::int32_t> contexts;
  Buffer<float> inputs, hidden, logits;

  Layers(TensorOps& on, const Inputs& in)
      : ops(on),
        frame(on.frame(in.first_row, in.rows)),
        embeddings(put(on, in.embeddings)),
        weights(put(on, in.weights)),
        hidden_bias(put(on, in.hidden_bias)),
        head(put(on, in.head)),
        head_bias(put(on, in.head_bias)),
        dlogits(put(on, in.dlogits)),
        contexts(put(on, in.contexts)),
        inputs(on, "test", frame.padded * kInputs),
        hidden(on, "test", frame.padded * kHidden),
        logits(on, "test", in.rows * in.columns) {
    ops.look_up(in.shard, {embeddings.span().data(), in.shard.columns(), kEmbedding, kEmbedding}, contexts.span(), frame,
                inputs.span());
    ops.hidden_layer({weights.span().data(), kInputs, kHidden, kHidden}, {hidden_bias.span().data(), 1, kHidden, kHidden},
                     inputs.span(), frame, hidden.span());
    ops.head_layer(in.shard, {head.span().data(), in.columns, kHidden, kHidden},
                   {head_bias.span().data(), 1, in.columns, in.columns}, hidden.span(), frame, logits.span());
  }

  /// The real rows of activations.
  std::vector<float> real(const Buffer<float>& buffer, std::int64_t width) const {
    const std::vector<float> all = get(buffer);
    return {all.begin() + frame.lead * width, all.begin() + (frame.lead + frame.rows) * width};
  }
};

/// All gradients of a batch.
struct Gradients {
  GradientTensor embeddings, weights, hidden_bias, head, head_bias, hidden_activations;
  Buffer<float> dhidden, dinputs;

  Gradients(Layers& at, const Inputs& in)
      : embeddings(at.ops, in.shard.columns() * kEmbedding),
        weights(at.ops, kInputs * kHidden),
        hidden_bias(at.ops, kHidden),
        head(at.ops, in.columns * kHidden),
        head_bias(at.ops, in.columns),
        hidden_activations(at.ops, 0),
        dhidden(at.ops, "test", at.frame.padded * kHidden),
        dinputs(at.ops, "test", at.frame.padded * kInputs) {
    GradientTensor sums(at.ops, at.frame.padded * kHidden, std::int64_t{3} << 42);  // scratch: whatever was left
    at.ops.head_backward(in.shard, at.frame,
                         {.head = {at.head.span().data(), in.shard.columns(), kHidden, kHidden},
                          .hidden = at.hidden.span(),
                          .dlogits = {at.dlogits.span().data(), in.rows, in.shard.columns(), in.columns},
                          .dhead = head.view(),
                          .dbias = head_bias.view(),
                          .dhidden_sums = sums.view(),
                          .dhidden_bound = hidden_activations.view(),
                          .dhidden = dhidden.span()});
    at.ops.hidden_backward(at.frame, {.weights = {at.weights.span().data(), kInputs, kHidden, kHidden},
                                      .inputs = at.inputs.span(),
                                      .hidden = at.hidden.span(),
                                      .dhidden = dhidden.span(),
                                      .dweights = weights.view(),
                                      .dbias = hidden_bias.view(),
                                      .dinputs = dinputs.span()});
    at.ops.embeddings_backward(in.shard, at.contexts.span(), dinputs.span(), at.frame, embeddings.view());
    at.ops.wait();  // `sums` ends here
  }
  bool valid() const {
    return embeddings.valid() && weights.valid() && hidden_bias.valid() && head.valid() && head_bias.valid() &&
           hidden_activations.valid();
  }
};

TEST(CudaOpsLayers, ForwardIsTheHosts) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    for (const std::int64_t rows : {0, 1, 37}) {
      const Inputs in(both.mesh, rows);
      const Layers host(both.host, in), device(both.device, in);
      EXPECT_TRUE(same_bits(device.real(device.inputs, kInputs), host.real(host.inputs, kInputs))) << to_string(shape);
      expect_near(device.real(device.hidden, kHidden), host.real(host.hidden, kHidden), kTolerance, 1.0, "hidden");
      expect_near(get(device.logits), get(host.logits), kTolerance, 1.0, "logits");
    }
  }
}

TEST(CudaOpsLayers, BackwardIsTheHosts) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    for (const std::int64_t rows : {0, 1, 37}) {
      const Inputs in(both.mesh, rows);
      Layers host(both.host, in), device(both.device, in);
      const Gradients want(host, in), got(device, in);
      expect_near(got.head.values(), want.head.values(), kTolerance, 1.0, "head");
      expect_near(got.head_bias.values(), want.head_bias.values(), kTolerance, 1.0, "head bias");
      expect_near(got.weights.values(), want.weights.values(), kTolerance, 1.0, "hidden weights");
      expect_near(got.hidden_bias.values(), want.hidden_bias.values(), kTolerance, 1.0, "hidden bias");
      expect_near(got.embeddings.values(), want.embeddings.values(), kTolerance, 1.0, "embeddings");
      expect_near(device.real(got.dhidden, kHidden), host.real(want.dhidden, kHidden), kTolerance, 1.0, "dhidden");
      EXPECT_TRUE(got.valid() && want.valid()) << to_string(shape);
    }
  }
}

// What is replicated in a vocabulary group must have the same bits on all its ranks, or they drift apart.
TEST(CudaOpsLayers, RanksOfAVocabularyGroupHaveTheSameBits) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    const Inputs in(both.mesh, 37);
    Layers device(both.device, in);
    const Gradients got(device, in);
    std::vector<float> mine = got.weights.values();
    for (const auto& more :
         {got.hidden_bias.values(), device.real(got.dhidden, kHidden), device.real(device.hidden, kHidden)})
      mine.insert(mine.end(), more.begin(), more.end());
    std::vector<float> all(mine.size() * static_cast<std::size_t>(shape.vocab));
    both.mesh.vocab().all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i] == mine[i % mine.size()]) continue;
      ADD_FAILURE() << "element " << i << " on " << to_string(shape);
      break;
    }
  }
}

// One rank's bad value makes the tensors it reaches invalid, the hidden layer's on all ranks of the group.
TEST(CudaOpsLayers, InvalidGradientsAreRemembered) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    Inputs in(both.mesh, 5);
    const bool odd_one = both.mesh.vocab_part() == shape.vocab - 1;
    if (odd_one) in.dlogits[3] = NAN;
    Layers device(both.device, in);
    const Gradients got(device, in);
    EXPECT_EQ(got.head.valid(), !odd_one) << to_string(shape);
    EXPECT_EQ(got.head_bias.valid(), !odd_one) << to_string(shape);
    EXPECT_FALSE(got.hidden_activations.valid()) << to_string(shape);
  }
}

// The same bits again: no sum depends on who comes first.
TEST(CudaOpsLayers, TheSameMeshGivesTheSameBits) {
  BothOps both(mesh_shapes().back());
  const Inputs in(both.mesh, 37);
  Layers first(both.device, in), second(both.device, in);
  const Gradients a(first, in), b(second, in);
  EXPECT_TRUE(same_bits(get(first.logits), get(second.logits)));
  EXPECT_TRUE(same_bits(a.embeddings.values(), b.embeddings.values()));
  EXPECT_TRUE(same_bits(a.head.values(), b.head.values()));
  EXPECT_TRUE(same_bits(a.weights.values(), b.weights.values()));
}

}  // namespace
}  // namespace klmesh::loop
