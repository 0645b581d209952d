// The whole flow on every mesh that fits the ranks, against the same flow on one rank. Over 400 lines: every case needs the
// batch, the meshes and the one-rank result that are made here.
#include <gmock/gmock.h>

#include <cstring>

#include "core/oracle.hpp"
#include "engine/world_batch.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/error.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh::test {
namespace {

constexpr std::int64_t kVocab = 1003;
constexpr std::int64_t kRows = 22;
constexpr std::int64_t kSequences = 5;

struct Batch : WorldBatch {
  explicit Batch(double noise) : WorldBatch(kRows, kVocab, kSequences, {noise}) {}
};
using Part = HostPart;

struct Result {
  std::vector<TokenStats> tokens;
  std::vector<float> gradient;
  StepStatistics statistics;
  std::int64_t first_row = 0;
  VocabShard shard;
};

Result run(Mesh& mesh, const Batch& batch) {
  Engine engine(mesh, kVocab);
  const Part part(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
  Result r;
  r.first_row = part.first_row;
  r.shard = engine.shard();
  r.tokens.resize(static_cast<std::size_t>(part.rows));
  engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), r.tokens, host_stream);
  r.gradient.assign(static_cast<std::size_t>(part.rows * part.columns), 7.0f);
  const std::vector<double> reverse(r.tokens.size(), 0.3), forward(r.tokens.size(), 0.2), logp(r.tokens.size(), -0.7),
      entropy(r.tokens.size(), 0.1);
  engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), r.tokens,
                  {.kl_reverse = reverse, .kl_forward = forward, .logp_policy = logp, .entropy_policy = entropy},
                  {r.gradient.data(), DType::f32, part.rows, part.columns, part.columns, false}, host_stream);
  StepSums sums(kSequences);
  engine.accumulate(r.tokens, part.inputs(), sums);
  r.statistics = engine.reduce(sums);
  return r;
}

int world_size() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

std::vector<MeshShape> meshes() {
  std::vector<MeshShape> shapes;
  for (int vocab = 1; vocab <= world_size(); ++vocab) {
    if (world_size() % vocab == 0) shapes.push_back({world_size() / vocab, vocab});
  }
  return shapes;
}

bool same_statistics(const StepStatistics& a, const StepStatistics& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Runs `action` and returns the message of the E it threw, or "" if it threw nothing.
template <typename E, typename Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

// The gradient of this rank's part is that of one rank: bit by bit on whole subtrees, to rounding elsewhere.
void expect_same_gradient(const Result& part, const Result& whole, const std::string& mesh) {
  const auto columns = static_cast<std::size_t>(part.shard.columns());
  for (std::size_t i = 0; i < part.tokens.size() * columns; ++i) {
    const std::size_t row = i / columns + static_cast<std::size_t>(part.first_row);
    const float want = whole.gradient[row * kVocab + static_cast<std::size_t>(part.shard.begin) + i % columns];
    const float got = part.gradient[i];
    if (is_whole_subtrees(part.shard.parts) ? got == want : std::fabs(got - want) <= 1e-6f * std::fabs(want)) continue;
    ADD_FAILURE() << "gradient of row " << row << " on " << mesh << ": " << got << ", not " << want;
    return;
  }
}

TEST(Engine, SameBitsOnEveryMeshOfWholeSubtrees) {
  for (const double noise : {1e-5, 0.1, 2.0}) {
    const Batch batch(noise);
    Mesh alone = Mesh::self();
    const Result whole = run(alone, batch);
    for (const MeshShape shape : meshes()) {
      Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
      const Result part = run(mesh, batch);
      const bool whole_subtrees = is_whole_subtrees(shape.vocab);
      EXPECT_EQ(Engine(mesh, kVocab).reproducible(), whole_subtrees);
      if (whole_subtrees) {
        EXPECT_TRUE(same_statistics(part.statistics, whole.statistics)) << to_string(shape);
      }
      for (std::size_t i = 0; i < part.tokens.size(); ++i) {
        const std::size_t row = i + static_cast<std::size_t>(part.first_row);
        if (whole_subtrees) {
          EXPECT_EQ(std::memcmp(&part.tokens[i], &whole.tokens[row], sizeof(TokenStats)), 0) << to_string(shape);
        } else {
          EXPECT_NEAR(part.tokens[i].kl_reverse, whole.tokens[row].kl_reverse, 1e-9 * whole.tokens[row].kl_reverse);
        }
      }
      expect_same_gradient(part, whole, to_string(shape));
    }
  }
}

// Evaluates with all quantities and returns the reduced statistics, and the gradient, of this rank's part.
Result run_all(Mesh& mesh, const Batch& batch, Schedule schedule, std::optional<double> renyi_alpha = 2.5) {
  Engine engine(mesh, kVocab);
  const Part part(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
  Result r;
  r.shard = engine.shard();
  r.first_row = part.first_row;
  r.tokens.resize(static_cast<std::size_t>(part.rows));
  const EvaluateOptions options{.quantities = QuantitySet::all, .schedule = schedule, .gradient_follows = true,
                                .renyi_alpha = renyi_alpha};
  engine.plan(part.rows, options);
  const std::size_t planned = engine.workspace_bytes();
  engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), options, r.tokens, host_stream);
  EXPECT_EQ(engine.workspace_bytes(), planned);
  r.gradient.assign(static_cast<std::size_t>(part.rows * part.columns), 7.0f);
  const std::vector<double> reverse(r.tokens.size(), 0.3), forward(r.tokens.size(), 0.2), logp(r.tokens.size(), -0.7),
      entropy(r.tokens.size(), 0.1), jensen_shannon(r.tokens.size(), 0.4);
  engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), r.tokens,
                  {.kl_reverse = reverse, .kl_forward = forward, .logp_policy = logp, .entropy_policy = entropy,
                   .jensen_shannon = jensen_shannon},
                  gradient_view(r.gradient.data(), part.rows, part.columns), host_stream);
  StepSums sums(kSequences, QuantitySet::all);
  engine.accumulate(r.tokens, part.inputs(), sums);
  r.statistics = engine.reduce(sums);
  return r;
}

TEST(Engine, BothSchedulesGiveTheSameBits) {
  const Batch batch(0.3);
  Mesh alone = Mesh::self();
  const Result whole = run_all(alone, batch, Schedule::gather);
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    const Result gather = run_all(mesh, batch, Schedule::gather);
    const Result by_rows = run_all(mesh, batch, Schedule::by_rows);
    EXPECT_TRUE(same_statistics(gather.statistics, by_rows.statistics)) << to_string(shape);
    EXPECT_EQ(gather.gradient, by_rows.gradient) << to_string(shape);
    expect_same_gradient(by_rows, whole, to_string(shape));
    if (is_whole_subtrees(shape.vocab)) {
      EXPECT_TRUE(same_statistics(by_rows.statistics, whole.statistics)) << to_string(shape);
    }
    for (const Quantity q : {Quantity::chi_square, Quantity::hellinger, Quantity::jensen_shannon,
                             Quantity::total_variation, Quantity::same_top, Quantity::renyi}) {
      EXPECT_EQ(gather.statistics[q].count, gather.statistics.tokens) << name(q);
      EXPECT_NEAR(gather.statistics[q].mean, whole.statistics[q].mean, 1e-9) << name(q);
    }
  }
}

// The gradient of Jensen-Shannon alone, against central differences of the oracle: a factor of ranks would show.
TEST(Engine, JensenShannonGradientMatchesFiniteDifferences) {
  const Batch batch(0.7);
  const double h = 1e-4;
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    Engine engine(mesh, kVocab);
    const Part part(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
    for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
      std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
      const EvaluateOptions options{.quantities = QuantitySet::all, .schedule = schedule};
      engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), options, tokens, host_stream);
      std::vector<float> gradient(static_cast<std::size_t>(part.rows * part.columns), 7.0f);
      const std::vector<double> ones(tokens.size(), 1.0);
      engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), tokens,
                      {.kl_reverse = {}, .kl_forward = {}, .logp_policy = {}, .entropy_policy = {}, .jensen_shannon = ones},
                      gradient_view(gradient.data(), part.rows, part.columns), host_stream);
      for (const std::int64_t row : {1, 12, 20}) {
        if (row < part.first_row || row >= part.first_row + part.rows || part.columns == 0) continue;
        const auto from = [row](const std::vector<float>& x) { return std::vector<double>(x.begin() + row * kVocab, x.begin() + (row + 1) * kVocab); };
        const std::vector<double> policy = from(batch.policy), reference = from(batch.reference);
        const auto moved = [&](std::int64_t column, double by) {
          std::vector<double> a = policy;
          a[static_cast<std::size_t>(column)] += by;
          return oracle<double>(a, reference).jensen_shannon;
        };
        for (std::int64_t v = 0; v < part.columns; v += 97) {
          const std::int64_t column = engine.shard().begin + v;
          const long double slope = (moved(column, h) - moved(column, -h)) / (2 * h);
          const float got = gradient[static_cast<std::size_t>((row - part.first_row) * part.columns + v)];
          EXPECT_NEAR(got, static_cast<double>(slope), 1e-9) << to_string(shape) << " row " << row << " column " << column;
        }
      }
    }
  }
}

TEST(Engine, RefusesTheGradientOfAJensenShannonThatWasNotEvaluated) {
  const Batch batch(0.1);
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    Engine engine(mesh, kVocab);
    const Part part(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
    std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
    std::vector<float> out(static_cast<std::size_t>(part.rows * part.columns));
    std::vector<double> weights(tokens.size(), 1.0);
    const auto gradient = [&] {
      return message_of<InvalidArgument>([&] {
        engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), tokens,
                        {.kl_reverse = {}, .kl_forward = {}, .logp_policy = {}, .entropy_policy = {}, .jensen_shannon = weights},
                        gradient_view(out.data(), part.rows, part.columns), host_stream);
      });
    };
    for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
      engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), {.schedule = schedule}, tokens, host_stream);
      EXPECT_THAT(gradient(), ::testing::HasSubstr("needs evaluate() with QuantitySet::all")) << to_string(shape);
      weights.assign(weights.size(), 0.0);
      EXPECT_EQ(gradient(), "");
      weights.assign(weights.size() + 1, 1.0);
      EXPECT_THAT(gradient(), ::testing::HasSubstr("scales.jensen_shannon")) << to_string(shape);
      weights.assign(tokens.size(), 1.0);
    }
  }
}

TEST(Engine, RenyiOfAnyOrderInAnySet) {
  const Batch batch(0.3);
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    Engine engine(mesh, kVocab);
    const Part part(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
    const auto evaluated = [&](EvaluateOptions options) {
      std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
      engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), options, tokens, host_stream);
      return tokens;
    };
    for (const double alpha : {0.5, 1.0, 2.0}) {
      const auto core = evaluated({.renyi_alpha = alpha});
      const auto all = evaluated({.quantities = QuantitySet::all, .renyi_alpha = alpha});
      for (std::size_t row = 0; row < core.size(); ++row) {
        if (!part.mask[row]) continue;
        // Order 1 is kl_reverse, which the core set alone sums in fp32 lanes.
        EXPECT_NEAR(core[row].renyi, all[row].renyi, alpha == 1.0 ? 2e-6 * all[row].renyi : 0.0);
        EXPECT_TRUE(std::isnan(core[row].chi_square));
        const double want = alpha == 0.5   ? -2 * std::log1p(-all[row].hellinger)
                            : alpha == 1.0 ? core[row].kl_reverse
                                           : std::log1p(all[row].chi_square);
        EXPECT_NEAR(core[row].renyi, want, alpha == 1.0 ? 0.0 : 1e-12);
      }
    }
    const auto plain = evaluated({.quantities = QuantitySet::all});
    for (std::size_t row = 0; row < plain.size(); ++row) EXPECT_EQ(std::isnan(plain[row].renyi), part.mask[row] != 0);
    for (const double alpha : {0.0, -1.0, 1.0 + 1e-7, HUGE_VAL, std::nan("")}) {
      EXPECT_THAT(message_of<InvalidArgument>([&] { evaluated({.renyi_alpha = alpha}); }), ::testing::HasSubstr("renyi_alpha"));
    }
    if (shape.vocab == 1) continue;
    const double mine = mesh.vocab_part() == 0 ? 2.0 : 3.0;
    EXPECT_THROW(evaluated({.renyi_alpha = mine}), InvalidData) << to_string(shape);
  }
}

// A row that another rank finished as invalid gives zero gradient here too.
TEST(Engine, InvalidRowsGiveZeroGradientInBothSchedules) {
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    Engine engine(mesh, kVocab);
    Batch batch(0.1);
    batch.policy[static_cast<std::size_t>(2 * kVocab + 900)] = std::numeric_limits<float>::quiet_NaN();
    batch.targets[9] = -4;
    const Part part(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
    for (const Schedule schedule : {Schedule::gather, Schedule::by_rows}) {
      std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
      engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), {.schedule = schedule}, tokens, host_stream);
      std::vector<float> gradient(static_cast<std::size_t>(part.rows * part.columns), 7.0f);
      const std::vector<double> ones(tokens.size(), 1.0);
      engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), tokens,
                      {.kl_reverse = ones, .kl_forward = {}, .logp_policy = ones, .entropy_policy = {}},
                      gradient_view(gradient.data(), part.rows, part.columns), host_stream);
      for (const std::int64_t row : {2, 9}) {
        if (row < part.first_row || row >= part.first_row + part.rows) continue;
        const auto begin = gradient.begin() + (row - part.first_row) * part.columns;
        EXPECT_TRUE(std::all_of(begin, begin + part.columns, [](float g) { return g == 0.0f; })) << to_string(shape);
      }
      for (const float g : gradient) EXPECT_TRUE(std::isfinite(g));
    }
  }
}

TEST(Engine, MicroBatchesMergeIntoOneStep) {
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    Engine engine(mesh, kVocab);
    const Batch batch(0.1);
    const StepStatistics want = run(mesh, batch).statistics;
    const Part part(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
    StepSums sums(kSequences);
    // Three micro-batches of this part's rows, some of them empty.
    for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 3}, {3, 3}, {3, part.rows}}) {
      const std::int64_t first = std::min(begin, part.rows), last = std::min(end, part.rows);
      const auto rows = static_cast<std::size_t>(std::max<std::int64_t>(0, last - first));
      const auto offset = static_cast<std::size_t>(first);
      const RowInputs inputs{.targets = std::span(part.targets).subspan(offset, rows),
                             .mask = std::span(part.mask).subspan(offset, rows),
                             .sequence = std::span(part.sequence).subspan(offset, rows)};
      const auto at = first * part.columns;
      const auto count = static_cast<std::int64_t>(rows);
      std::vector<TokenStats> tokens(rows);
      engine.evaluate(logits_view(part.policy.data() + at, count, part.columns),
                      logits_view(part.reference.data() + at, count, part.columns), inputs, tokens, host_stream);
      StepSums micro(kSequences);
      engine.accumulate(tokens, inputs, micro);
      sums.merge(micro);
    }
    EXPECT_TRUE(same_statistics(engine.reduce(sums), want)) << to_string(shape);
  }
}

TEST(Engine, SequenceIdsOutOfRangeThrowOnEveryRank) {
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    Batch batch(0.1);
    batch.sequence[4] = kSequences;
    EXPECT_THROW(run(mesh, batch), InvalidData) << to_string(shape);
  }
}

TEST(Engine, SkipsInvalidRowsIfAskedTo) {
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    Engine engine(mesh, kVocab);
    Batch batch(0.1);
    batch.policy[static_cast<std::size_t>(2 * kVocab + 900)] = std::numeric_limits<float>::quiet_NaN();
    const auto statistics = [&] {
      const Part part(batch, engine.shard(), mesh.batch_part(), mesh.shape().batch);
      std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
      engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), tokens, host_stream);
      StepSums sums(kSequences);
      engine.accumulate(tokens, part.inputs(), sums);
      return engine.reduce(sums, true);
    };
    EXPECT_EQ(statistics().invalid_rows, 1) << to_string(shape);
    batch.targets[5] = -1;  // a bad target is no bad row
    EXPECT_THROW(statistics(), InvalidData) << to_string(shape);
  }
}

TEST(Engine, MatchesTheOracle) {
  const Batch batch(0.1);
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    const StepStatistics s = run(mesh, batch).statistics;
    long double kl = 0, k1 = 0;
    std::int64_t tokens = 0;
    for (std::int64_t row = 0; row < kRows; ++row) {
      if (!batch.mask[static_cast<std::size_t>(row)]) continue;
      ++tokens;
      const auto begin = static_cast<std::size_t>(row * kVocab);
      const OracleRow want = oracle<float>(std::span(batch.policy).subspan(begin, kVocab),
                                           std::span(batch.reference).subspan(begin, kVocab));
      kl += want.kl_reverse;
      k1 -= want.log_ratio[static_cast<std::size_t>(batch.targets[static_cast<std::size_t>(row)])];
    }
    EXPECT_EQ(s.tokens, tokens);
    EXPECT_EQ(s.masked_tokens, kRows - tokens);
    EXPECT_EQ(s.sequences, kSequences);
    EXPECT_NEAR(s[Quantity::kl_reverse].sum, static_cast<double>(kl), 2e-6 * static_cast<double>(kl));
    EXPECT_NEAR(s[Quantity::k1].sum, static_cast<double>(k1), 5e-7 * static_cast<double>(tokens));
  }
}

TEST(Engine, InvalidRowsThrowOnEveryRankAndNameThePlace) {
  for (const MeshShape shape : meshes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    Batch nan(0.1);
    nan.reference[static_cast<std::size_t>(20 * kVocab + 1000)] = std::numeric_limits<float>::quiet_NaN();
    const std::string message = message_of<InvalidData>([&] { run(mesh, nan); });
    EXPECT_THAT(message, ::testing::HasSubstr("reference logits hold NaN")) << to_string(shape);
    EXPECT_THAT(message, ::testing::HasSubstr("column 1000")) << to_string(shape);
    EXPECT_THAT(message, ::testing::HasSubstr("rank ")) << to_string(shape);

    Batch target(0.1);
    target.targets[5] = kVocab;
    EXPECT_THAT(message_of<InvalidData>([&] { run(mesh, target); }), ::testing::HasSubstr("target 1003"));

    Batch masked(0.1);
    masked.mask.assign(masked.mask.size(), 0);
    EXPECT_THAT(message_of<InvalidData>([&] { run(mesh, masked); }), ::testing::HasSubstr("no token"));

    Batch hidden(0.1);  // the same NaN behind the mask is nobody's business
    hidden.mask[5] = 0;
    hidden.policy[static_cast<std::size_t>(5 * kVocab + 3)] = std::numeric_limits<float>::quiet_NaN();
    hidden.targets[5] = -77;
    EXPECT_NO_THROW(run(mesh, hidden));
  }
}

TEST(Engine, WrongShapesThrowOnEveryRankOfTheGroup) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  Engine engine(mesh, kVocab);
  const Batch batch(0.1);
  const Part part(batch, engine.shard(), 0, 1);
  std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
  LogitsView policy = part.policy_view();
  if (mesh.vocab_part() == mesh.shape().vocab - 1) policy.columns -= 1;  // one rank alone is wrong
  EXPECT_THROW(engine.evaluate(policy, part.reference_view(), part.inputs(), tokens, host_stream), InvalidArgument);
  // and the group is still usable
  EXPECT_NO_THROW(engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), tokens, host_stream));
  if (world_size() > 1) {
    std::vector<std::int64_t> other = part.targets;
    if (mesh.vocab_part() == 0) other[0] += 1;
    EXPECT_THROW(engine.evaluate(part.policy_view(), part.reference_view(),
                                 {.targets = other, .mask = part.mask, .sequence = part.sequence}, tokens, host_stream),
                 InvalidData);
  }
}

TEST(Engine, RefusesTheGradientOfAnInfiniteDivergence) {
  Mesh mesh = borrow_mesh(MPI_COMM_WORLD, {1, world_size()});
  Engine engine(mesh, kVocab);
  Batch batch(0.1);
  batch.reference[3] = -std::numeric_limits<float>::infinity();
  const Part part(batch, engine.shard(), 0, 1);
  std::vector<TokenStats> tokens(static_cast<std::size_t>(part.rows));
  engine.evaluate(part.policy_view(), part.reference_view(), part.inputs(), tokens, host_stream);
  EXPECT_EQ(tokens[0].kl_reverse, HUGE_VAL);
  EXPECT_TRUE(std::isfinite(tokens[0].kl_forward));
  std::vector<float> out(static_cast<std::size_t>(part.rows * part.columns));
  const std::vector<double> ones(tokens.size(), 1.0);
  const GradientView view{out.data(), DType::f32, part.rows, part.columns, part.columns, false};
  EXPECT_THROW(engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), tokens,
                               {.kl_reverse = ones, .kl_forward = {}, .logp_policy = {}, .entropy_policy = {}}, view,
                               host_stream),
               InvalidArgument);
  EXPECT_NO_THROW(engine.gradient(part.policy_view(), part.reference_view(), part.inputs(), tokens,
                                  {.kl_reverse = {}, .kl_forward = ones, .logp_policy = {}, .entropy_policy = {}}, view,
                                  host_stream));
}

}  // namespace
}  // namespace klmesh::test
