#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/policy.hpp"
#include "loop/random.hpp"

namespace klmesh::loop {
namespace {

constexpr std::int64_t kVocab = 1100;  // slices of 16 or 32 columns
constexpr ModelConfig kModel{2, 3, 5};
constexpr std::int64_t kRows = 4 * kRowTile + 50;  // the last tile is not full

double uniform(std::uint64_t index, std::uint32_t step) {
  return random_uniform({77, RandomPurpose::mle_batches, step}, index);
}

/// Everything of a batch that the world shares; each rank takes its rows and columns.
struct Batch {
  std::int64_t rows = kRows;

  std::int32_t word(std::int64_t row, int position) const {
    return static_cast<std::int32_t>(random_below({78, RandomPurpose::mle_batches, 0},
                                                  static_cast<std::uint64_t>(2 * row + position), kVocab));
  }
  float dlogit(std::int64_t row, std::int64_t column) const {
    return static_cast<float>(1e-2 * (uniform(static_cast<std::uint64_t>(row * kVocab + column), 1) - 0.5));
  }
  std::vector<std::int32_t> contexts(std::int64_t first, std::int64_t count) const {
    std::vector<std::int32_t> words;
    for (std::int64_t r = first; r < first + count; ++r) words.insert(words.end(), {word(r, 0), word(r, 1)});
    return words;
  }
  /// Padding is NaN: whoever reads it is found out.
  std::vector<float> dlogits(std::int64_t first, std::int64_t count, const Policy& policy) const {
    const VocabShard& shard = policy.shard();
    std::vector<float> values(static_cast<std::size_t>(count * policy.head_columns()),
                              std::numeric_limits<float>::quiet_NaN());
    for (std::int64_t r = 0; r < count; ++r) {
      for (std::int64_t v = 0; v < shard.columns(); ++v) {
        values[static_cast<std::size_t>(r * policy.head_columns() + v)] = dlogit(first + r, shard.begin + v);
      }
    }
    return values;
  }
};

std::vector<float> log_unigram() {
  std::vector<float> values(kVocab);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = -std::log(static_cast<float>(i + 2));
  return values;
}

Policy make_policy(TensorOps& ops, int head_multiple = 1) {
  ModelConfig model = kModel;
  model.head_multiple = head_multiple;
  Policy policy(ops, model, kVocab, 5, log_unigram());
  // Hidden biases other than 0, so that padding would show.
  auto bias = policy.parameters()[PolicyTensor::hidden_bias];
  for (std::int64_t i = 0; i < bias.columns; ++i) bias.data[i] = 0.3f - 0.1f * static_cast<float>(i);
  return policy;
}

/// First row of a batch part: whole tiles, as even as they go.
std::int64_t part_begin(std::int64_t rows, int part, int parts) {
  const std::int64_t tiles = (rows + kRowTile - 1) / kRowTile;
  return std::min(rows, tiles * part / parts * kRowTile);
}

/// Forward and backward of one rank's part of the batch.
struct Result {
  std::int64_t first_row = 0;
  std::vector<float> logits;
  PolicyGradient gradient;
};

Result run(const Policy& policy, Mesh& mesh, const Batch& batch) {
  const std::int64_t begin = part_begin(batch.rows, mesh.batch_part(), mesh.shape().batch);
  const std::int64_t count = part_begin(batch.rows, mesh.batch_part() + 1, mesh.shape().batch) - begin;
  Result result{begin, std::vector<float>(static_cast<std::size_t>(count * policy.head_columns())),
                policy.make_gradient()};
  Activations activations(policy.ops());
  policy.forward(batch.contexts(begin, count), begin, activations, result.logits);
  policy.backward(activations, batch.dlogits(begin, count, policy), result.gradient);
  result.gradient.reduce();
  result.gradient.check();
  return result;
}

/// The part of a whole tensor that a shard owns.
template <class T>
std::span<const T> shard_part(std::span<const T> whole, PolicyTensor tensor, const VocabShard& shard) {
  if (!is_sharded(tensor)) return whole;
  const std::int64_t width = static_cast<std::int64_t>(whole.size()) / kVocab;
  return whole.subspan(shard.begin * width, shard.columns() * width);
}

std::span<const float> values_of(const Policy& policy, PolicyTensor tensor) {
  const auto matrix = policy.parameters()[tensor];
  return {matrix.data, static_cast<std::size_t>(matrix.rows * matrix.columns)};
}

TEST(Policy, InitialParametersDoNotDependOnTheMesh) {
  Mesh self = Mesh::self();
  HostOps self_ops(self);
  const Policy whole = make_policy(self_ops);
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    HostOps ops(mesh);
    const Policy part = make_policy(ops);
    for (int t = 0; t < kPolicyTensors; ++t) {
      const auto tensor = static_cast<PolicyTensor>(t);
      EXPECT_TRUE(std::ranges::equal(values_of(part, tensor),
                                     shard_part(values_of(whole, tensor), tensor, part.shard())))
          << name(tensor) << " on " << to_string(shape);
    }
  }
  EXPECT_EQ(values_of(whole, PolicyTensor::head_bias)[7], log_unigram()[7]);
  EXPECT_NE(whole.parameters().flat()[0], whole.parameters().flat()[1]);
}

TEST(Policy, LogitsAndGradientsHaveTheSameBitsOnEveryMesh) {
  for (const std::int64_t rows : {kRows, std::int64_t{40}, std::int64_t{0}}) {
    const Batch batch{rows};
    Mesh self = Mesh::self();
    HostOps self_ops(self);
    const Policy whole = make_policy(self_ops);
    const Result expected = run(whole, self, batch);
    for (const MeshShape shape : mesh_shapes()) {
      Mesh mesh = make_mesh(shape);
      HostOps ops(mesh);
      const Policy part = make_policy(ops);
      const Result result = run(part, mesh, batch);
      const std::int64_t columns = part.shard().columns();
      for (std::size_t i = 0; i < result.logits.size(); ++i) {
        const auto row = result.first_row + static_cast<std::int64_t>(i) / columns;
        const auto column = part.shard().begin + static_cast<std::int64_t>(i) % columns;
        if (result.logits[i] == expected.logits[static_cast<std::size_t>(row * kVocab + column)]) continue;
        ADD_FAILURE() << "logit " << row << ", " << column << " on " << to_string(shape);
        break;
      }
      for (int t = 0; t < kPolicyTensors; ++t) {
        const auto tensor = static_cast<PolicyTensor>(t);
        EXPECT_TRUE(std::ranges::equal(result.gradient.words(tensor),
                                       shard_part(expected.gradient.words(tensor), tensor, part.shard())))
            << name(tensor) << " on " << to_string(shape) << ", rows " << rows;
        EXPECT_EQ(rows == 0, std::ranges::all_of(expected.gradient.words(tensor), [](auto w) { return w == 0; }));
      }
    }
  }
}

/// The model in double, parameters as one flat array of the whole vocabulary.
class ReferenceModel {
 public:
  explicit ReferenceModel(const Policy& whole) {
    for (int t = 0; t < kPolicyTensors; ++t) {
      const auto values = values_of(whole, static_cast<PolicyTensor>(t));
      tensors[t].assign(values.begin(), values.end());
    }
  }
  std::vector<double> logits(std::int32_t first, std::int32_t second) const {
    const auto width = static_cast<std::size_t>(kModel.hidden),
               embedding = static_cast<std::size_t>(kModel.embedding);
    std::vector<double> hidden(tensors[2]);
    for (std::size_t k = 0; k < 2 * embedding; ++k) {
      const auto word = static_cast<std::size_t>(k < embedding ? first : second);
      for (std::size_t h = 0; h < width; ++h) {
        hidden[h] += tensors[0][word * embedding + k % embedding] * tensors[1][k * width + h];
      }
    }
    std::vector<double> out(tensors[4]);
    for (std::size_t v = 0; v < out.size(); ++v) {
      for (std::size_t h = 0; h < width; ++h) out[v] += std::tanh(hidden[h]) * tensors[3][v * width + h];
    }
    return out;
  }
  /// sum dlogits * logits: the objective whose gradient backward() forms.
  double objective(const Batch& batch) const {
    double sum = 0;
    for (std::int64_t r = 0; r < batch.rows; ++r) {
      const auto row = logits(batch.word(r, 0), batch.word(r, 1));
      for (std::int64_t v = 0; v < kVocab; ++v) sum += batch.dlogit(r, v) * row[static_cast<std::size_t>(v)];
    }
    return sum;
  }
  std::vector<double> tensors[kPolicyTensors];
};

TEST(Policy, GradientIsTheFiniteDifferenceOfADoubleModel) {
  const Batch batch{kRowTile + 9};
  Mesh self = Mesh::self();
  HostOps self_ops(self);
  ReferenceModel reference(make_policy(self_ops));
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    HostOps ops(mesh);
    const Policy policy = make_policy(ops);
    const Result result = run(policy, mesh, batch);
    if (result.logits.size() > 3) {
      const auto row = reference.logits(batch.word(result.first_row, 0), batch.word(result.first_row, 1));
      EXPECT_NEAR(result.logits[3], row[static_cast<std::size_t>(policy.shard().begin + 3)], 1e-6);
    }
    for (int t = 0; t < kPolicyTensors; ++t) {
      const auto tensor = static_cast<PolicyTensor>(t);
      std::vector<float> gradient;
      for (const std::int64_t word : result.gradient.words(tensor)) gradient.push_back(fixed_point_value(word));
      const std::size_t offset = is_sharded(tensor) ? static_cast<std::size_t>(policy.shard().begin) *
                                                          reference.tensors[t].size() / kVocab
                                                    : 0;
      for (std::size_t i = 0; i < gradient.size(); i += gradient.size() / 4 + 1) {
        // An embedding only moves the objective where its word occurs.
        std::size_t k = i;
        if (tensor == PolicyTensor::embeddings)
          while (k + 1 < gradient.size() && gradient[k] == 0) ++k;
        double& parameter = reference.tensors[t][offset + k];
        const double kept = parameter;
        constexpr double kStep = 1e-4;
        parameter = kept + kStep;
        const double above = reference.objective(batch);
        parameter = kept - kStep;
        const double below = reference.objective(batch);
        parameter = kept;
        EXPECT_NEAR(gradient[k], (above - below) / (2 * kStep), 2e-6) << name(tensor) << " " << k;
      }
    }
  }
}

/// Every element of a run equals that of another, which has no padding; padding's gradient is 0.
void expect_as_unpadded(const Policy& policy, const Result& result, const Policy& plain, const Result& expected,
                        const std::string& what) {
  const std::int64_t columns = policy.shard().columns(), stride = policy.head_columns();
  bool same = true;
  for (std::size_t i = 0; i < expected.logits.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / columns, column = static_cast<std::int64_t>(i) % columns;
    same = same && result.logits[static_cast<std::size_t>(row * stride + column)] == expected.logits[i];
  }
  EXPECT_TRUE(same) << "logits " << what;
  for (int t = 0; t < kPolicyTensors; ++t) {
    const auto tensor = static_cast<PolicyTensor>(t);
    const auto words = expected.gradient.words(tensor);
    EXPECT_TRUE(std::ranges::equal(result.gradient.words(tensor).first(words.size()), words)) << t << ' ' << what;
    for (const std::int64_t word : result.gradient.words(tensor).subspan(words.size())) EXPECT_EQ(word, 0) << t << ' ' << what;
  }
  EXPECT_EQ(plain.head_columns(), columns);
}

TEST(Policy, PaddingOfTheHeadIsGarbageThatReachesNoLogitAndNoGradient) {
  const Batch batch;
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    HostOps ops(mesh);
    const Policy plain = make_policy(ops);
    const Result expected = run(plain, mesh, batch);
    for (const int multiple : {7, 64, 128, 2000}) {
      const std::string what = "multiple " + std::to_string(multiple) + " on " + to_string(shape);
      Policy policy = make_policy(ops, multiple);
      EXPECT_EQ(policy.head_columns() % multiple, 0) << what;
      const std::int64_t padding = policy.head_columns() - policy.shard().columns();
      EXPECT_LT(padding, multiple) << what;
      const Result result = run(policy, mesh, batch);
      expect_as_unpadded(policy, result, plain, expected, what);
      if (padding == 0 || result.logits.empty()) continue;
      const auto begin = result.logits.begin();
      const auto end_of_words = begin + policy.shard().columns();
      EXPECT_GT(*std::min_element(end_of_words, begin + policy.head_columns()),
                40 + *std::max_element(begin, end_of_words))
          << what;
    }
  }
}

TEST(Policy, PaddingOfTheHeadMayBeNaN) {
  const Batch batch;
  const MeshShape shape = mesh_shapes().back();
  Mesh mesh = make_mesh(shape);
  HostOps ops(mesh);
  const Policy plain = make_policy(ops);
  Policy policy = make_policy(ops, 64);
  const std::int64_t words = policy.shard().columns();
  const auto head = policy.parameters().padded(PolicyTensor::head);
  const auto bias = policy.parameters().padded(PolicyTensor::head_bias);
  std::fill(head.data + words * head.columns, head.data + head.rows * head.columns, NAN);
  std::fill(bias.data + words, bias.data + bias.columns, NAN);
  expect_as_unpadded(policy, run(policy, mesh, batch), plain, run(plain, mesh, batch), "NaN on " + to_string(shape));
}

TEST(Policy, EmbeddingsOfWordsThatDoNotOccurHaveNoGradient) {
  const Batch batch{20};
  Mesh self = Mesh::self();
  HostOps self_ops(self);
  const Policy policy = make_policy(self_ops);
  const Result result = run(policy, self, batch);
  std::vector<bool> occurs(kVocab);
  for (std::int64_t r = 0; r < batch.rows; ++r) occurs[batch.word(r, 0)] = occurs[batch.word(r, 1)] = true;
  const auto words = result.gradient.words(PolicyTensor::embeddings);
  for (std::size_t v = 0; v < occurs.size(); ++v) {
    EXPECT_EQ(occurs[v], words[v * static_cast<std::size_t>(kModel.embedding)] != 0) << v;
  }
}

TEST(Policy, ShardsMayBeEmpty) {
  constexpr std::int64_t kFew = 20;  // two slices that are not empty
  const std::vector<std::int32_t> contexts{1, 19, 17, 2, 3, 3};
  const auto run_few = [&](TensorOps& on) {
    Policy policy(on, kModel, kFew, 5, {});
    std::vector<float> logits(static_cast<std::size_t>(3 * policy.shard().columns()));
    PolicyGradient gradient = policy.make_gradient();
    Activations activations(policy.ops());
    policy.forward(contexts, 0, activations, logits);
    policy.backward(activations, std::vector<float>(logits.size(), 0.25f), gradient);
    gradient.reduce();
    gradient.check();
    const auto words = gradient.words(PolicyTensor::hidden_weights);
    return std::vector<std::int64_t>(words.begin(), words.end());
  };
  Mesh self = Mesh::self(), mesh = make_mesh({1, world_size()});
  HostOps self_ops(self), ops(mesh);
  EXPECT_EQ(run_few(ops), run_few(self_ops));
}

TEST(Policy, ABadLogitGradientOnOneRankThrowsOnAllRanks) {
  // 4000 is too large for the head's bias, which one shard owns, but leaves the hidden layer within the
  // limits.
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), 1e9f, 4000.0f}) {
    for (const MeshShape shape : mesh_shapes()) {
      Mesh mesh = make_mesh(shape);
      HostOps ops(mesh);
      const Policy policy = make_policy(ops);
      const Batch batch;
      const std::int64_t begin = mesh.batch_part() * kRowTile;
      std::vector<float> logits(static_cast<std::size_t>(kRowTile * policy.shard().columns())),
          dlogits(logits.size());
      if (mesh.world().rank() == world_size() - 1) dlogits.back() = bad;
      Activations activations(policy.ops());
      PolicyGradient gradient = policy.make_gradient();
      policy.forward(batch.contexts(0, kRowTile), begin, activations, logits);
      policy.backward(activations, dlogits, gradient);
      gradient.reduce();
      EXPECT_THROW(gradient.check(), InvalidData) << to_string(shape);
    }
  }
}

TEST(Policy, RefusesWordsOutsideTheVocabulary) {
  Mesh self = Mesh::self();
  HostOps self_ops(self);
  const Policy policy = make_policy(self_ops);
  Activations activations(policy.ops());
  std::vector<float> logits(kVocab);
  for (const std::int32_t word : {-1, static_cast<std::int32_t>(kVocab)}) {
    const std::vector<std::int32_t> contexts{1, word};
    EXPECT_THROW(policy.forward(contexts, 0, activations, logits), InvalidArgument);
  }
  EXPECT_THROW(policy.forward(std::vector<std::int32_t>{1, 1, 1}, 0, activations, logits), InvalidArgument);
  EXPECT_THROW(Policy(self_ops, {0, 1, 1}, kVocab, 1, {}), InvalidArgument);
  EXPECT_THROW(Policy(self_ops, {1, 1, 1, 0}, kVocab, 1, {}), InvalidArgument);
  EXPECT_THROW(Policy(self_ops, kModel, kVocab, 1, std::vector<float>(3)), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::loop
