#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/distill_loss.hpp"
#include "loop/distill_model.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/partition.hpp"
#include "loop/random.hpp"

namespace klmesh::loop {
namespace {

constexpr std::int64_t kVocab = 100;
constexpr std::int64_t kRows = 2 * kRowTile + 20;  // three tiles: the last one short, and one of four parts empty
constexpr ModelConfig kTeacher{3, 5, 7, 64};  // rows of 128 floats on one rank
constexpr ModelConfig kStudent{2, 3, 4, 48};  // 144

// Heads 20 times their start: distributions that differ.
Policy make_policy(TensorOps& ops, const ModelConfig& model, std::uint64_t seed) {
  Policy policy(ops, model, kVocab, seed, {});
  const auto head = policy.parameters()[PolicyTensor::head];
  for (std::int64_t i = 0; i < head.rows * head.columns; ++i) head.data[i] *= 20.0f;
  return policy;
}

/// Words of a text without sense: the contexts of both models, and what follows.
struct Text {
  std::vector<std::int32_t> words;

  Text() {
    for (std::int64_t i = 0; i < kRows + 4; ++i) {
      words.push_back(static_cast<std::int32_t>(random_below({3, RandomPurpose::mle_batches, 0}, static_cast<std::uint64_t>(i), kVocab)));
    }
  }
  std::vector<std::int32_t> context(std::int64_t row, int length) const {
    return {words.begin() + row + 3 - length, words.begin() + row + 3};
  }
  std::vector<std::int32_t> contexts(const RowRange& rows, int length) const {
    std::vector<std::int32_t> all;
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      const auto one = context(r, length);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
  std::vector<std::int64_t> targets(const RowRange& rows) const {
    return {words.begin() + rows.begin + 3, words.begin() + rows.end + 3};
  }
};

struct Result {
  DistillMeasure measured;
  std::array<std::vector<std::int64_t>, kPolicyTensors> gradient;  // words

  double read(PolicyTensor tensor, std::int64_t element) const {
    return fixed_point_value(gradient[static_cast<std::size_t>(tensor)][static_cast<std::size_t>(element)]);
  }
};

Result run(Mesh& mesh, const DistillObjective& objective) {
  const Text text;
  HostOps ops(mesh);
  Engine engine = ops.make_engine(kVocab);
  const Policy teacher = make_policy(ops, kTeacher, 1), student = make_policy(ops, kStudent, 2);
  const RowRange range = part_of_rows(kRows, kRowTile, mesh.batch_part(), mesh.shape().batch);
  Activations activations(ops), ignored(ops);
  std::vector<float> logits(static_cast<std::size_t>(range.size() * student.head_columns()));
  std::vector<float> teacher_logits(static_cast<std::size_t>(range.size() * teacher.head_columns()));
  std::vector<float> dlogits(logits.size(), std::numeric_limits<float>::quiet_NaN());
  teacher.forward(text.contexts(range, kTeacher.context), range.begin, ignored, teacher_logits);
  student.forward(text.contexts(range, kStudent.context), range.begin, activations, logits);
  const std::vector<std::int64_t> targets = text.targets(range);
  DistillLoss loss(ops, engine, objective);
  loss.evaluate(logits_view(logits.data(), range.size(), student.head_columns()),
                logits_view(teacher_logits.data(), range.size(), teacher.head_columns()),
                {.targets = targets, .mask = {}, .sequence = {}}, kRows,
                gradient_view(dlogits.data(), range.size(), student.head_columns()));
  PolicyGradient gradient = student.make_gradient();
  student.backward(activations, dlogits, gradient);
  gradient.reduce();
  gradient.check();
  Result result{loss.measure(), {}};
  for (int t = 0; t < kPolicyTensors; ++t) {
    const auto words = gradient.words(static_cast<PolicyTensor>(t));
    result.gradient[static_cast<std::size_t>(t)].assign(words.begin(), words.end());
  }
  return result;
}

/// The mean loss of all rows, and its derivatives by a few parameters of every tensor.
class Oracle {
 public:
  explicit Oracle(const DistillObjective& objective) : objective_(objective), student_(whole_student()) {
    Mesh self = Mesh::self();
    HostOps ops(self);
    const LongDoubleModel teacher(make_policy(ops, kTeacher, 1));
    for (std::int64_t r = 0; r < kRows; ++r) teacher_.push_back(teacher.logits(text_.context(r, kTeacher.context)));
  }

  long double loss() const {
    long double sum = 0;
    for (std::int64_t r = 0; r < kRows; ++r) {
      sum += row_loss(objective_, student_.logits(text_.context(r, kStudent.context)),
                      teacher_[static_cast<std::size_t>(r)], text_.words[static_cast<std::size_t>(r + 3)]);
    }
    return sum / kRows;
  }

  struct Derivative {
    PolicyTensor tensor;
    std::int64_t element;  ///< of the whole tensor
    double value;
  };
  /// Collective over MPI_COMM_WORLD: the ranks share the work.
  std::vector<Derivative> derivatives() {
    std::vector<Derivative> all;
    for (int t = 0; t < kPolicyTensors; ++t) {
      Row& values = student_.tensors[t];
      for (std::size_t i = 1; i < values.size(); i += values.size() / 3 + 1) {
        const bool mine = static_cast<int>(all.size()) % world_size() == world_rank();
        all.push_back({static_cast<PolicyTensor>(t), static_cast<std::int64_t>(i), mine ? derivative(values[i]) : 0.0});
      }
    }
    for (Derivative& d : all) MPI_Allreduce(MPI_IN_PLACE, &d.value, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return all;
  }

 private:
  double derivative(long double& parameter) const {
    constexpr long double kStep = 1e-4L;
    const long double kept = parameter;
    parameter = kept + kStep;
    const long double above = loss();
    parameter = kept - kStep;
    const long double below = loss();
    parameter = kept;
    return static_cast<double>((above - below) / (2 * kStep));
  }

  static LongDoubleModel whole_student() {
    Mesh self = Mesh::self();
    HostOps ops(self);
    return LongDoubleModel(make_policy(ops, kStudent, 2));
  }

  DistillObjective objective_;
  Text text_;
  LongDoubleModel student_;
  std::vector<Row> teacher_;
};

void expect_derivatives(const std::vector<Oracle::Derivative>& expected, const Result& result,
                        const VocabShard& shard, const std::string& what) {
  for (const auto& [tensor, element, value] : expected) {
    const std::int64_t width = tensor == PolicyTensor::embeddings ? kStudent.embedding
                               : tensor == PolicyTensor::head     ? kStudent.hidden
                                                                  : 1;
    const std::int64_t first = is_sharded(tensor) ? shard.begin * width : 0;
    if (is_sharded(tensor) && !shard.contains(element / width)) continue;
    EXPECT_NEAR(result.read(tensor, element - first), value, 2e-7 + 2e-6 * std::fabs(value))
        << name(tensor) << ' ' << element << ' ' << what;
  }
}

class DistillLossTest : public ::testing::TestWithParam<DistillObjective> {};

// Through the whole student, heads padded differently, on every mesh.
TEST_P(DistillLossTest, LossAndGradientAreThoseOfALongDoubleModel) {
  Oracle oracle(GetParam());
  const auto loss = static_cast<double>(oracle.loss());
  const auto derivatives = oracle.derivatives();
  EXPECT_TRUE(std::ranges::any_of(derivatives, [](const auto& d) { return std::fabs(d.value) > 2e-3; }));
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    const Result result = run(mesh, GetParam());
    EXPECT_NEAR(result.measured.loss, loss, 2e-6 * (1 + loss)) << to_string(shape);
    expect_derivatives(derivatives, result, vocab_shard(kVocab, mesh.vocab_part(), shape.vocab),
                       to_string(shape));
  }
}

TEST_P(DistillLossTest, SameBitsOnEveryMesh) {
  Mesh self = Mesh::self();
  const Result expected = run(self, GetParam());
  for (const MeshShape shape : mesh_shapes()) {
    Mesh mesh = make_mesh(shape);
    const Result result = run(mesh, GetParam());
    EXPECT_EQ(result.measured.loss, expected.measured.loss) << to_string(shape);
    const auto hidden = static_cast<std::size_t>(PolicyTensor::hidden_weights);
    EXPECT_EQ(result.gradient[hidden], expected.gradient[hidden]) << to_string(shape);
  }
}

INSTANTIATE_TEST_SUITE_P(Objectives, DistillLossTest,
                         ::testing::Values(DistillObjective{Distillation::forward, 1, 0},
                                           DistillObjective{Distillation::reverse, 1, 0},
                                           DistillObjective{Distillation::jensen_shannon, 1, 0},
                                           DistillObjective{Distillation::forward, 2, 0.25},
                                           DistillObjective{Distillation::reverse, 0.5, 0},
                                           DistillObjective{Distillation::jensen_shannon, 3, 0.5},
                                           DistillObjective{Distillation::forward, 1, 0.5},
                                           DistillObjective{Distillation::data, 2, 0}),
                         [](const auto& p) {
                           std::string text = std::string(name(p.param.kind)) + "_temperature_" +
                                              std::to_string(p.param.temperature) + "_data_" +
                                              std::to_string(p.param.data_weight);
                           std::ranges::replace(text, '.', '_');
                           return text;
                         });

TEST(DistillLoss, MeasuresAtTemperatureOneWhateverTheObjective) {
  Mesh self = Mesh::self();
  const StepStatistics plain = run(self, {Distillation::forward, 1, 0}).measured.statistics;
  const Result soft = run(self, {Distillation::forward, 4, 0});
  for (const Quantity q : {Quantity::kl_forward, Quantity::kl_reverse, Quantity::logp_policy, Quantity::k3}) {
    EXPECT_EQ(soft.measured.statistics[q].sum, plain[q].sum) << name(q);
  }
  EXPECT_NE(soft.measured.loss, plain[Quantity::kl_forward].mean);
}

TEST(DistillLoss, RefusesBadObjectives) {
  Mesh self = Mesh::self();
  HostOps ops(self);
  Engine engine = ops.make_engine(kVocab);
  for (const DistillObjective bad : {DistillObjective{Distillation::forward, 0, 0}, {Distillation::forward, -1, 0},
                                     {Distillation::forward, HUGE_VAL, 0}, {Distillation::forward, 1, -0.1},
                                     {Distillation::forward, 1, 1.1}, {Distillation::forward, NAN, 0},
                                     {Distillation::forward, 1, NAN}}) {
    EXPECT_THROW(DistillLoss(ops, engine, bad), InvalidArgument);
  }
}

TEST(Distillation, KindsHaveNames) {
  for (const Distillation kind : {Distillation::forward, Distillation::reverse, Distillation::jensen_shannon,
                                  Distillation::data}) {
    EXPECT_EQ(parse_distillation(name(kind)), kind);
    EXPECT_FALSE(objective(kind).empty());
  }
  EXPECT_THROW(parse_distillation("sideways"), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::loop
